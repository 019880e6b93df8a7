{{/*
What the three kinds of monitors share. Takes (dict "root" $ "monitor" .Values.serviceMonitor "kind" "ServiceMonitor").
*/}}

{{- define "istio-port-exporter.monitorMetadata" -}}
{{- $namespace := default (include "istio-port-exporter.namespace" .root) .monitor.namespace }}
name: {{ include "istio-port-exporter.nameIn" (dict "root" .root "namespace" $namespace) }}
namespace: {{ $namespace | quote }}
{{ include "istio-port-exporter.marks" (dict "root" .root "labels" .monitor.labels "annotations" .monitor.annotations) | trim }}
{{- end }}

{{- define "istio-port-exporter.monitorEndpoint" -}}
- port: metrics
  path: {{ include "istio-port-exporter.telemetryPath" .root }}
  scheme: {{ .root.Values.web.scheme }}
  {{- /* The samples' own namespace and pod are the proxies', not ours. */}}
  honorLabels: true
  {{- with .monitor.interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .monitor.scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- with include "istio-port-exporter.monitorOptions" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .monitor.relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "istio-port-exporter.monitorOptions" -}}
{{- range $key := list "metricRelabelings" "tlsConfig" "basicAuth" }}
{{- with get $.monitor $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
