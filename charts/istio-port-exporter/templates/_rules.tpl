{{/* The plain rule files of rules/, with the changes that the values make. `values` is always .Values. */}}

{{/* Every group of every file. Takes the root. A JSON list. */}}
{{- define "istio-port-exporter.ruleGroups" -}}
{{- $root := . }}
{{- $groups := list }}
{{- range $path, $_ := .Files.Glob "rules/*.yaml" }}
{{- range (fromYaml ($root.Files.Get $path)).groups }}
{{- $kept := list }}
{{- range .rules }}
{{- with include "istio-port-exporter.rule" (dict "root" $root "values" $root.Values "rule" .) }}
{{- $kept = append $kept (fromJson .) }}
{{- end }}
{{- end }}
{{- $groups = append $groups (dict "name" .name "rules" $kept) }}
{{- end }}
{{- end }}
{{- toJson $groups }}
{{- end }}

{{/* The names of all alerts. Takes the root. A JSON list. */}}
{{- define "istio-port-exporter.alerts" -}}
{{- $root := . }}
{{- $names := list }}
{{- range $path, $_ := .Files.Glob "rules/*.yaml" }}
{{- range (fromYaml ($root.Files.Get $path)).groups }}
{{- range .rules }}
{{- with .alert }}
{{- $names = append $names . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{/* One rule as JSON; nothing where it is switched off or not fed. Takes (dict "root" $ "values" .Values "rule" ...). */}}
{{- define "istio-port-exporter.rule" -}}
{{- $rules := .values.rules }}
{{- $labels := .values.sampleLabels }}
{{- $rule := deepCopy .rule }}
{{- $own := dig (default "" $rule.alert) dict (default dict $rules.overrides) }}
{{- /* Whoever renames the label here knows that Prometheus clobbers it. */}}
{{- $isRenamed := ne $labels.namespace "namespace" }}
{{- $isOn := not (and $isRenamed (eq (default "" $rule.alert) "IstioPortExporterLabelsClobbered")) }}
{{- $isFed := not (include "istio-port-exporter.missingFamilies" (dict "values" .values "alert" (default "" $rule.alert))) }}
{{- if and $isFed (dig "enabled" $isOn $own) }}
{{- $_ := set $rule "expr" (include "istio-port-exporter.withLabelNames" (dict "labels" $labels "text" $rule.expr)) }}
{{- range $name, $text := $rule.annotations }}
{{- $_ := set $rule.annotations $name (include "istio-port-exporter.annotation" (dict "labels" $labels "text" $text)) }}
{{- end }}
{{- /* The policy that this one offers admits this install's own probes. */}}
{{- if eq (default "" $rule.alert) "IstioAmbientHboneBlocked" }}
{{- $from := printf "kubernetes.io/metadata.name\":\"%s\"" (include "istio-port-exporter.namespace" .root) }}
{{- $text := $rule.annotations.description | replace "kubernetes.io/metadata.name\":\"istio-port-exporter\"" $from }}
{{- $_ := set $rule.annotations "description" ($text | replace "15999" (include "istio-port-exporter.controlPort" .root)) }}
{{- end }}
{{- if eq (default "" $rule.record) "mesh:istio_proxy_failing_limit:count" }}
{{- $limit := printf "clamp_max(clamp_min(%v * count by (" $rules.mesh.share }}
{{- $_ := set $rule "expr" ($rule.expr | replace "clamp_max(clamp_min(0.25 * count by (" $limit | replace ", 5), 100)" (printf ", 5), %v)" $rules.mesh.proxies)) }}
{{- end }}
{{- if eq (default "" $rule.record) "workload:istio_proxy_degraded:info" }}
{{- $_ := set $rule "expr" ($rule.expr | replace "(1 - 0.99) *" (printf "(1 - %v) *" $rules.workload.availability)) }}
{{- end }}
{{- if $rule.alert }}
{{- $page := trimPrefix "docs/" $rule.annotations.runbook_url }}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s" (include "istio-port-exporter.runbooks" .root) $page) }}
{{- with $own.severity }}
{{- $_ := set $rule.labels "severity" . }}
{{- end }}
{{- $_ := set $rule "labels" (merge (dict) (default dict $own.labels) (default dict $rules.additionalRuleLabels) $rule.labels) }}
{{- $_ := set $rule "annotations" (merge (dict) (default dict $own.annotations) (default dict $rules.additionalRuleAnnotations) $rule.annotations) }}
{{- if $rules.shadow }}
{{- $_ := set $rule.labels "intended_severity" $rule.labels.severity }}
{{- $_ := set $rule.labels "severity" "none" }}
{{- end }}
{{- end }}
{{- range $key, $value := pick $own "expr" "for" "keep_firing_for" }}
{{- $_ := set $rule $key $value }}
{{- end }}
{{- toJson $rule }}
{{- end }}
{{- end }}

{{/* An annotation: only `$labels.` names labels, its sentences are about pods. */}}
{{- define "istio-port-exporter.annotation" -}}
{{- $labels := .labels }}
{{- $text := .text }}
{{- range $label, $name := $labels }}
{{- $text = regexReplaceAll (printf "[$]labels[.]%s\\b" $label) $text (printf "$$labels.%s" $name) }}
{{- end }}
{{- $text -}}
{{- end }}

{{/* The address of alerts.md and diagnosis.md: one that is set, or the exporter's own. Takes the root. */}}
{{- define "istio-port-exporter.runbooks" -}}
{{- $service := printf "%s://%s.%s.svc:%v" .Values.web.scheme (include "istio-port-exporter.fullname" .) (include "istio-port-exporter.namespace" .) .Values.service.port }}
{{- $own := printf "%s/runbooks" (default $service .Values.web.externalURL | trimSuffix "/") }}
{{- default $own .Values.rules.runbookBaseURL | trimSuffix "/" }}
{{- end }}

{{/*
Families without which an alert cannot fire, and the smallest profile that has them, as a JSON object. Alerts that are
not here need those of `*`, which every profile has. A test compares it with the exporter's families.
*/}}
{{- define "istio-port-exporter.needs" -}}
{{- $expiry := "istio_target_certificate_expiry_timestamp_seconds" }}
{{- $begin := "istio_target_certificate_not_before_timestamp_seconds" }}
{{- toJson (dict
  "*" (list "minimal" "istio_port_up" "istio_target_info" "istio_target_ready" "istio_target_diagnosis" "istio_target_last_poll_timestamp_seconds" "istio_target_polls_total" "istio_target_faulty_polls_total")
  "IstioProxyListenerNotBound" (list "standard" "istio_proxy_listener_bound")
  "IstioCertificatesNotRenewed" (list "standard" $expiry $begin)
  "IstioGatewayCertificateEnding" (list "standard" "istio_proxy_server_certificate_expiry_timestamp_seconds" "istio_proxy_server_certificate_not_before_timestamp_seconds")
  "IstioRootCertificateEnding" (list "standard" $expiry)
  "IstioRootCertificateExpired" (list "standard" $expiry)
  "IstioCertificateBehindAgent" (list "full")
  "IstioProxyRootsDiffer" (list "full" "istio_proxy_root_info")
  "IstioControlPlaneReplicasDisagree" (list "standard" "istio_control_plane_info" "istio_control_plane_connected_proxies")
  "IstioControlPlanePushErrors" (list "standard" "istio_control_plane_push_errors_total")
  "IstioZtunnelWorkloadsMissing" (list "standard" "istio_proxy_workloads")
  "IstioPodsWithoutProxy" (list "minimal" "istio_proxy_missing_pods")
  "IstioAmbientRedirectionMissing" (list "minimal" "istio_proxy_ambient_pods")
) }}
{{- end }}

{{/* What the configured metrics lack of an alert's needs, in words; empty where it is fed. Takes (dict "values" .Values "alert" ...). */}}
{{- define "istio-port-exporter.missingFamilies" -}}
{{- $needs := dig .alert list (include "istio-port-exporter.needs" . | fromJson) }}
{{- if $needs }}
{{- $profile := dig "metrics" "profile" "standard" (default dict .values.config) }}
{{- $disabled := dig "metrics" "disabled_families" list (default dict .values.config) }}
{{- $missing := list }}
{{- range rest $needs }}
{{- if has . $disabled }}
{{- $missing = append $missing (printf "%s is in config.metrics.disabled_families" .) }}
{{- end }}
{{- end }}
{{- $isSmaller := or (and (eq $profile "minimal") (ne (first $needs) "minimal")) (and (eq $profile "standard") (eq (first $needs) "full")) }}
{{- if $isSmaller }}
{{- $missing = append $missing (printf "config.metrics.profile is %s, and only %s has what it needs" $profile (first $needs)) }}
{{- end }}
{{- join "; " $missing }}
{{- end }}
{{- end }}
