{{/* Names, labels and the image: what every object shares. */}}

{{- define "istio-port-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for its suffixes: -headless, -istiod, the hash of a pod. A release may have dots in its name, a Service none. */}}
{{- define "istio-port-exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "istio-port-exporter.name" .) .Release.Name }}
{{- .Release.Name | replace "." "-" | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "istio-port-exporter.name" .) | replace "." "-" | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "istio-port-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* Names the objects that belong to the cluster, where two releases may have one name. */}}
{{- define "istio-port-exporter.clusterName" -}}
{{- printf "%s-%s" (include "istio-port-exporter.namespace" .) (include "istio-port-exporter.fullname" .) | trimPrefix "-" }}
{{- end }}

{{/* Names the objects in a namespace, which may be another one than ours. Takes (dict "root" $ "namespace" "shop"). */}}
{{- define "istio-port-exporter.nameIn" -}}
{{- include (ternary "istio-port-exporter.fullname" "istio-port-exporter.clusterName" (eq .namespace (include "istio-port-exporter.namespace" .root))) .root }}
{{- end }}

{{- define "istio-port-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "istio-port-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "istio-port-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "istio-port-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: istio-port-exporter
{{- end }}

{{/*
An object's labels and annotations: those of the chart, those of every object, its own. Takes (dict "root" $ "labels" map
"annotations" map), of which the maps may be left out.
*/}}
{{- define "istio-port-exporter.marks" -}}
{{- $labels := mergeOverwrite (include "istio-port-exporter.labels" .root | fromYaml) (deepCopy (default dict .root.Values.commonLabels)) (deepCopy (default dict .labels)) }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with mergeOverwrite (deepCopy (default dict .root.Values.commonAnnotations)) (deepCopy (default dict .annotations)) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "istio-port-exporter.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry }}
{{- $name := ternary .Values.image.repository (printf "%s/%s" $registry .Values.image.repository) (empty $registry) }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/*
A component is a kind of pod: `exporter`, and beside a DaemonSet `istiod`, a Deployment that polls
the control plane and tries its webhook. These helpers take (dict "root" $ "component" "exporter").
*/}}

{{- define "istio-port-exporter.componentName" -}}
{{- include "istio-port-exporter.fullname" .root }}{{ if eq .component "istiod" }}-istiod{{ end }}
{{- end }}

{{- define "istio-port-exporter.componentLabels" -}}
{{ include "istio-port-exporter.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* A DaemonSet's account, which is on every node, does not get what only the istiod Deployment needs. */}}
{{- define "istio-port-exporter.serviceAccountName" -}}
{{- $given := .root.Values.serviceAccount }}
{{- if not $given.create }}
{{- default "default" $given.name }}
{{- else }}
{{- default (include "istio-port-exporter.fullname" .root) $given.name }}{{ if eq .component "istiod" }}-istiod{{ end }}
{{- end }}
{{- end }}

{{/* The components of this install, as a JSON list. */}}
{{- define "istio-port-exporter.components" -}}
{{- $components := list "exporter" }}
{{- if and (eq .Values.mode "daemonset") (or (include "istio-port-exporter.watchesIstiod" .) .Values.istiod.webhookDryRun.enabled) }}
{{- $components = append $components "istiod" }}
{{- end }}
{{- toJson $components }}
{{- end }}

{{/* "true" when the exporter polls istiod. */}}
{{- define "istio-port-exporter.watchesIstiod" -}}
{{- $mode := dig "istiod" "mode" "auto" (default dict .Values.config) }}
{{- $roles := dig "discovery" "kubernetes" "roles" list (default dict .Values.config) }}
{{- if and (ne $mode "none") (or (empty $roles) (has "istiod" $roles)) }}true{{ end }}
{{- end }}

{{/* The component that polls istiod. */}}
{{- define "istio-port-exporter.istiodComponent" -}}
{{- ternary "istiod" "exporter" (eq .Values.mode "daemonset") }}
{{- end }}

{{/* Subjects of role bindings: the accounts of all components. */}}
{{- define "istio-port-exporter.subjects" -}}
{{- $root := . }}
{{- $names := list }}
{{- range fromJsonArray (include "istio-port-exporter.components" .) }}
{{- $names = append $names (include "istio-port-exporter.serviceAccountName" (dict "root" $root "component" .)) }}
{{- end }}
{{- range uniq $names }}
- kind: ServiceAccount
  name: {{ . | quote }}
  namespace: {{ include "istio-port-exporter.namespace" $root | quote }}
{{- end }}
{{- end }}

{{- define "istio-port-exporter.telemetryPath" -}}
{{- dig "web" "telemetry_path" "/metrics" (default dict .Values.config) }}
{{- end }}

{{/* Istio's ports that are probed from the network, and those that values add, as texts. Takes the root. A JSON list. */}}
{{- define "istio-port-exporter.probedPorts" -}}
{{- $ports := list "8000" "8080" "15000" "15006" "15008" "15010" "15012" "15014" "15017" "15020" "15021" "15090" "15091" "15092" }}
{{- range default list (default dict .Values.config).ports }}
{{- $ports = append $ports (int .port | toString) }}
{{- end }}
{{- toJson $ports }}
{{- end }}

{{/* The control port: the nearest free one below the configured one. Takes the root. */}}
{{- define "istio-port-exporter.controlPort" -}}
{{- $ports := include "istio-port-exporter.probedPorts" . | fromJsonArray }}
{{- $control := int (dig "poll" "control_port" 15999 (default dict .Values.config)) }}
{{- range until 64 }}
{{- if has (toString $control) $ports }}{{ $control = int (sub $control 1) }}{{ end }}
{{- end }}
{{- $control }}
{{- end }}
