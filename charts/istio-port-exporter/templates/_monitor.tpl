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
  relabelings:
    {{- include "istio-port-exporter.monitorRelabelings" . | trim | nindent 4 }}
{{- end }}

{{/* The alerts compare exporters of a job, so a release is one, apart from all others of the cluster. */}}
{{- define "istio-port-exporter.monitorRelabelings" -}}
- targetLabel: job
  replacement: {{ printf "%s/%s" (include "istio-port-exporter.namespace" .root) .root.Release.Name | quote }}
{{- with .monitor.relabelings }}
{{ toYaml . }}
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
