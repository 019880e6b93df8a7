{{/* The plain rule files of rules/, with the changes that the values make. `values` is always .Values. */}}

{{/* Every group of every file. Takes the root. A JSON list. */}}
{{- define "istio-port-exporter.ruleGroups" -}}
{{- $root := . }}
{{- $groups := list }}
{{- range $path, $_ := .Files.Glob "rules/*.yaml" }}
{{- range (fromYaml ($root.Files.Get $path)).groups }}
{{- $kept := list }}
{{- range .rules }}
{{- with include "istio-port-exporter.rule" (dict "values" $root.Values "rule" .) }}
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

{{/* One rule as JSON; nothing where it is switched off. Takes (dict "values" .Values "rule" ...). */}}
{{- define "istio-port-exporter.rule" -}}
{{- $rules := .values.rules }}
{{- $labels := .values.sampleLabels }}
{{- $rule := deepCopy .rule }}
{{- $own := dig (default "" $rule.alert) dict $rules.overrides }}
{{- /* Whoever renames the label here knows that Prometheus clobbers it. */}}
{{- $isRenamed := ne $labels.namespace "namespace" }}
{{- $isOn := not (and $isRenamed (eq (default "" $rule.alert) "IstioPortExporterLabelsClobbered")) }}
{{- if dig "enabled" $isOn $own }}
{{- $_ := set $rule "expr" (include "istio-port-exporter.withLabelNames" (dict "labels" $labels "text" $rule.expr)) }}
{{- range $name, $text := $rule.annotations }}
{{- $_ := set $rule.annotations $name (include "istio-port-exporter.annotation" (dict "labels" $labels "text" $text)) }}
{{- end }}
{{- if and $rule.alert $rules.runbookBaseURL }}
{{- $page := trimPrefix "docs/" $rule.annotations.runbook_url }}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s" (trimSuffix "/" $rules.runbookBaseURL) $page) }}
{{- end }}
{{- with $own.severity }}
{{- $_ := set $rule.labels "severity" . }}
{{- end }}
{{- range $key, $value := pick $own "expr" "for" "keep_firing_for" }}
{{- $_ := set $rule $key $value }}
{{- end }}
{{- toJson $rule }}
{{- end }}
{{- end }}

{{/* An annotation: only its templates name labels, its sentences are about pods. */}}
{{- define "istio-port-exporter.annotation" -}}
{{- $labels := .labels }}
{{- $text := .text }}
{{- range regexFindAll "(?s)[{][{].*?[}][}]" $text -1 | uniq }}
{{- $text = replace . (include "istio-port-exporter.withLabelNames" (dict "labels" $labels "text" .)) $text }}
{{- end }}
{{- $text -}}
{{- end }}
