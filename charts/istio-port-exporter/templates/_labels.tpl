{{/* The names that Prometheus gives to the labels of the samples. `labels` is always .Values.sampleLabels. */}}

{{/* An expression, or a template of an alert: every such word is a label, but the level of a record, which a colon follows. */}}
{{- define "istio-port-exporter.withLabelNames" -}}
{{- $text := .text }}
{{- range $label, $name := .labels }}
{{- $text = regexReplaceAll (printf "\\b%s\\b([^:]|$)" $label) $text (printf "%s${1}" $name) }}
{{- end }}
{{- $text -}}
{{- end }}

{{/*
A dashboard: labels are in queries and legends, and name fields. Sentences and variables have the same words and keep
them. docs/dashboards.md has the same expression, for sed.
*/}}
{{- define "istio-port-exporter.dashboardWithLabelNames" -}}
{{- $text := .text }}
{{- range $label, $name := .labels }}
{{- $mention := printf `(  "|Field": "|\\"|[({.]|, )%s([\\",)=!}])` $label }}
{{- $text = regexReplaceAll $mention $text (printf "${1}%s${2}" $name) }}
{{- end }}
{{- $text -}}
{{- end }}
