{{/* What is wrong with values together; the schema checks each by itself. */}}

{{- define "istio-port-exporter.validate" -}}
{{- range $path, $instead := dict
  "discovery.kubernetes.namespaces" "set namespaces"
  "discovery.kubernetes.cluster_scoped" "set rbac.clusterScoped"
  "discovery.kubernetes.node" "mode daemonset sets it"
  "access.loopback" "set portForward.enabled, or mode daemonset"
  "istiod.debug_token_file" "set istiod.debugToken.enabled"
  "istiod.root_cert_file" "set istiod.rootCertConfigMap"
  "istiod.webhook_dry_run" "set istiod.webhookDryRun"
  "shard" "set mode to statefulset, and replicas"
  "web.listen_address" "set web.port"
  "web.config_file" "set web.configSecret"
}}
{{- $below := default dict $.Values.config }}
{{- $isThere := true }}
{{- range splitList "." $path }}
{{- if and $isThere (kindIs "map" $below) (hasKey $below .) }}
{{- $below = get $below . }}
{{- else }}
{{- $isThere = false }}
{{- end }}
{{- end }}
{{- if $isThere }}
{{- fail (printf "config.%s is set by the chart: %s" $path $instead) }}
{{- end }}
{{- end }}
{{- range $path, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "service.labels" .Values.service.labels }}
{{- range list "name" "instance" "component" }}
{{- if hasKey (default dict $labels) (printf "app.kubernetes.io/%s" .) }}
{{- fail (printf "%s: app.kubernetes.io/%s is the chart's own, by which selectors find the pods and the Service; set nameOverride, or leave it out" $path .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .Values.mode "daemonset") .Values.portForward.enabled }}
{{- fail "portForward.enabled: mode daemonset reaches loopback ports from inside the pods already" }}
{{- end }}
{{- if and (eq .Values.mode "daemonset") .Values.podDisruptionBudget.enabled }}
{{- fail "podDisruptionBudget.enabled: a DaemonSet's pods are not evicted" }}
{{- end }}
{{- $roles := dig "discovery" "kubernetes" "roles" list (default dict .Values.config) }}
{{- if and (eq .Values.mode "daemonset") $roles (empty (without $roles "istiod")) }}
{{- fail "config.discovery.kubernetes.roles: mode daemonset polls istiod beside the nodes, for which no role is left; choose mode deployment" }}
{{- end }}
{{- $static := dig "discovery" "static" dict (default dict .Values.config) }}
{{- if and (eq .Values.mode "daemonset") (or $static.targets $static.files) }}
{{- fail "config.discovery.static: mode daemonset has every node poll the same targets; list them in a release of mode deployment" }}
{{- end }}
{{- if and .Values.istiod.debugToken.enabled (not (include "istio-port-exporter.watchesIstiod" .)) }}
{{- fail "istiod.debugToken.enabled: istiod is not polled (config.istiod.mode, config.discovery.kubernetes.roles)" }}
{{- end }}
{{- if .Values.istiod.webhookDryRun.enabled }}
{{- if empty .Values.istiod.webhookDryRun.namespace }}
{{- fail "istiod.webhookDryRun.namespace: name the namespace whose pods may be created; one used for this alone" }}
{{- end }}
{{- if not (dig "discovery" "kubernetes" "enabled" true (default dict .Values.config)) }}
{{- fail "istiod.webhookDryRun.enabled: config.discovery.kubernetes.enabled is false, but the dry run uses the API server" }}
{{- end }}
{{- end }}
{{- if and (not .Values.rbac.clusterScoped) (empty .Values.namespaces) }}
{{- fail "rbac.clusterScoped: false needs namespaces: pods of all namespaces cannot be listed without a ClusterRole" }}
{{- end }}
{{- if and (not .Values.rbac.clusterScoped) (dig "istiod" "read_webhook_names" false (default dict .Values.config)) }}
{{- fail "config.istiod.read_webhook_names: needs rbac.clusterScoped, webhook configurations belong to no namespace; name them in config.istiod.webhook_names" }}
{{- end }}
{{- if and .Values.service.nodePort (eq .Values.service.type "ClusterIP") }}
{{- fail "service.nodePort: needs service.type NodePort or LoadBalancer" }}
{{- end }}
{{- $budget := .Values.podDisruptionBudget }}
{{- if and $budget.enabled (eq (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable)) }}
{{- fail "podDisruptionBudget: set either minAvailable or maxUnavailable" }}
{{- end }}
{{- if $budget.enabled }}
{{- $most := toString (ternary $budget.maxUnavailable "1" (kindIs "invalid" $budget.minAvailable)) }}
{{- $least := toString (default "0" $budget.minAvailable) }}
{{- $share := divf (float64 (trimSuffix "%" $least)) (ternary 100 .Values.replicas (hasSuffix "%" $least)) }}
{{- if or (has $most (list "0" "0%")) (ge (ceil (mulf $share .Values.replicas)) (float64 .Values.replicas)) }}
{{- fail (printf "podDisruptionBudget: of %d replicas none could be evicted, and each drain of their nodes would wait for ever" (int .Values.replicas)) }}
{{- end }}
{{- end }}
{{- $monitors := list }}
{{- range list "serviceMonitor" "podMonitor" "scrapeConfig" }}
{{- if (index $.Values .).enabled }}
{{- $monitors = append $monitors . }}
{{- end }}
{{- end }}
{{- if gt (len $monitors) 1 }}
{{- fail (printf "%s: every replica would be scraped %d times, choose one" (join ", " $monitors) (len $monitors)) }}
{{- end }}
{{- if and (eq .Values.web.scheme "https") (empty .Values.web.configSecret) }}
{{- fail "web.scheme: https needs web.configSecret, which has the certificate" }}
{{- end }}
{{- if ne (len .Values.sampleLabels) (values .Values.sampleLabels | uniq | len) }}
{{- fail "sampleLabels: two labels have the same name" }}
{{- end }}
{{- if .Values.rules.enabled }}
{{- with include "istio-port-exporter.missingFamilies" (dict "values" .Values "alert" "*") }}
{{- fail (printf "rules.enabled: the rules cannot be fed: %s" .) }}
{{- end }}
{{- range $alert, $own := default dict .Values.rules.overrides }}
{{- with include "istio-port-exporter.missingFamilies" (dict "values" $.Values "alert" $alert) }}
{{- if dig "enabled" false $own }}
{{- fail (printf "rules.overrides.%s: the alert cannot be fed: %s" $alert .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $added := dict "additionalRuleLabels" (default dict .Values.rules.additionalRuleLabels) }}
{{- range $alert, $own := default dict .Values.rules.overrides }}
{{- $_ := set $added (printf "overrides.%s.labels" $alert) (default dict $own.labels) }}
{{- end }}
{{- $joined := concat (list "alertname" "instance" "job" "name" "node" "revision" "scope" "workload") (values .Values.sampleLabels) }}
{{- range $path, $labels := $added }}
{{- range $name := keys $labels | sortAlpha }}
{{- if has $name $joined }}
{{- fail (printf "rules.%s: the rules join alerts with samples by %s, and no alert would silence another; set it on the samples (relabelings of the monitor), or as external label of Prometheus" $path $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range keys (default dict .Values.rules.overrides) | sortAlpha }}
{{- if not (has . (include "istio-port-exporter.alerts" $ | fromJsonArray)) }}
{{- fail (printf "rules.overrides: there is no alert named %s" .) }}
{{- end }}
{{- end }}
{{- end }}
