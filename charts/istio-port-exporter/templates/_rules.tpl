{{/* The plain rule files of rules/, with what the values say otherwise. `rules` is always .Values.rules. */}}

{{/* Every group of every file. Takes the root. A JSON list. */}}
{{- define "istio-port-exporter.ruleGroups" -}}
{{- $root := . }}
{{- $groups := list }}
{{- range $path, $_ := .Files.Glob "rules/*.yaml" }}
{{- range (fromYaml ($root.Files.Get $path)).groups }}
{{- $kept := list }}
{{- range .rules }}
{{- with include "istio-port-exporter.rule" (dict "rules" $root.Values.rules "rule" .) }}
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

{{/* One rule as JSON; nothing where it is switched off. Takes (dict "rules" .Values.rules "rule" ...). */}}
{{- define "istio-port-exporter.rule" -}}
{{- $rules := .rules }}
{{- $rule := deepCopy .rule }}
{{- $own := dig (default "" $rule.alert) dict $rules.overrides }}
{{- /* Who renames the labels here has Prometheus clobber them, and knows it. */}}
{{- $isRenamed := ne (list $rules.namespaceLabel $rules.podLabel | join " ") "namespace pod" }}
{{- $isOn := not (and $isRenamed (eq (default "" $rule.alert) "IstioPortExporterLabelsClobbered")) }}
{{- if dig "enabled" $isOn $own }}
{{- $_ := set $rule "expr" (include "istio-port-exporter.withLabelNames" (dict "rules" $rules "text" $rule.expr)) }}
{{- range $name, $text := $rule.annotations }}
{{- $_ := set $rule.annotations $name (include "istio-port-exporter.annotation" (dict "rules" $rules "text" $text)) }}
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

{{/* An expression, or a template of an alert, with the labels' names that Prometheus has. */}}
{{- define "istio-port-exporter.withLabelNames" -}}
{{- regexReplaceAllLiteral "\\bpod\\b" (regexReplaceAllLiteral "\\bnamespace\\b" .text .rules.namespaceLabel) .rules.podLabel -}}
{{- end }}

{{/* An annotation: only its templates name labels, its sentences speak of pods. */}}
{{- define "istio-port-exporter.annotation" -}}
{{- $rules := .rules }}
{{- $text := .text }}
{{- range regexFindAll "(?s)[{][{].*?[}][}]" $text -1 | uniq }}
{{- $text = replace . (include "istio-port-exporter.withLabelNames" (dict "rules" $rules "text" .)) $text }}
{{- end }}
{{- $text -}}
{{- end }}
