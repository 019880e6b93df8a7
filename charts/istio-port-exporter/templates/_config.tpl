{{/*
The exporter's configuration file: the user's `config`, overridden by what the chart sets.
Takes (dict "root" $ "component" "exporter").
*/}}

{{- define "istio-port-exporter.config" -}}
{{- $values := .root.Values }}
{{- $found := dict }}
{{- with $values.namespaces }}
{{- $_ := set $found "namespaces" . }}
{{- end }}
{{- if not $values.rbac.clusterScoped }}
{{- $_ := set $found "cluster_scoped" false }}
{{- end }}
{{- $roles := dig "discovery" "kubernetes" "roles" list (default dict $values.config) }}
{{- $decided := dict "web" (dict "listen_address" (printf ":%d" (int $values.web.port))) }}
{{- if $values.web.configSecret }}
{{- $_ := set $decided.web "config_file" "/etc/istio-port-exporter/web/web-config.yml" }}
{{- end }}
{{- if eq $values.mode "statefulset" }}
{{- $_ := set $decided "shard" (dict "ordinal" "auto" "total" (int $values.replicas)) }}
{{- end }}
{{- if eq .component "istiod" }}
{{- $_ := set $found "roles" (list "istiod") }}
{{- else if eq $values.mode "daemonset" }}
{{- $everything := list "sidecar" "gateway" "waypoint" "proxyless" "ztunnel" "agentgateway" "cni" "ambient" }}
{{- $_ := set $found "roles" (without (default $everything $roles) "istiod") }}
{{- $_ := set $found "node" "auto" }}
{{- $_ := set $decided "access" (dict "loopback" "netns") }}
{{- end }}
{{- if and $values.portForward.enabled (eq .component "exporter") }}
{{- $_ := set $decided "access" (dict "loopback" "portforward") }}
{{- end }}
{{- $istiod := dict }}
{{- if include "istio-port-exporter.hasToken" . }}
{{- $_ := set $istiod "debug_token_file" "/var/run/secrets/istio-port-exporter/token" }}
{{- end }}
{{- if and $values.istiod.webhookDryRun.enabled (eq .component (include "istio-port-exporter.istiodComponent" .root)) }}
{{- $_ := set $istiod "webhook_dry_run" $values.istiod.webhookDryRun }}
{{- end }}
{{- with $istiod }}
{{- $_ := set $decided "istiod" . }}
{{- end }}
{{- with $found }}
{{- $_ := set $decided "discovery" (dict "kubernetes" .) }}
{{- end }}
{{- toYaml (mergeOverwrite (deepCopy (default dict $values.config)) $decided) }}
{{- end }}

{{/* "true" for the component that reads istiod's debug pages with a token. */}}
{{- define "istio-port-exporter.hasToken" -}}
{{- if and .root.Values.istiod.debugToken.enabled (eq .component (include "istio-port-exporter.istiodComponent" .root)) }}true{{ end }}
{{- end }}
