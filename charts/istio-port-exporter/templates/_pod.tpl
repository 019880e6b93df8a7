{{/* A component's pod template. Takes (dict "root" $ "component" "exporter"). */}}

{{- define "istio-port-exporter.pod" -}}
{{- $values := .root.Values }}
{{- $scope := . }}
{{- $isInside := and (eq $values.mode "daemonset") (eq .component "exporter") }}
{{- $hasToken := include "istio-port-exporter.hasToken" . }}
{{- $hasRoot := and (include "istio-port-exporter.watchesIstiod" .root) (eq .component (include "istio-port-exporter.istiodComponent" .root)) }}
{{- $annotations := dict "checksum/config" (include "istio-port-exporter.config" . | sha256sum) "sidecar.istio.io/inject" "false" }}
{{- /* In the mesh, the exporter's own proxy would answer for every target. */}}
{{- $outside := dict "sidecar.istio.io/inject" "false" "istio.io/dataplane-mode" "none" }}
{{- $labels := include "istio-port-exporter.componentLabels" . | fromYaml }}
metadata:
  annotations:
    {{- toYaml (mergeOverwrite $annotations (deepCopy (default dict $values.commonAnnotations)) (deepCopy (default dict $values.podAnnotations))) | nindent 4 }}
  labels:
    {{- toYaml (mergeOverwrite $labels (deepCopy (default dict $values.commonLabels)) $outside (deepCopy (default dict $values.podLabels))) | nindent 4 }}
spec:
  serviceAccountName: {{ include "istio-port-exporter.serviceAccountName" . | quote }}
  automountServiceAccountToken: {{ or $values.portForward.enabled (dig "discovery" "kubernetes" "enabled" true (default dict $values.config)) }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- if $isInside }}
  {{- /* The exporter finds the pods' processes by their ids on the node. */}}
  hostPID: true
  {{- end }}
  securityContext:
    {{- toYaml (ternary $values.netns.podSecurityContext $values.podSecurityContext $isInside) | nindent 4 }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and $values.topologySpreadConstraints (not $isInside) }}
  topologySpreadConstraints:
    {{- range $values.topologySpreadConstraints }}
    {{- $selector := dict "labelSelector" (dict "matchLabels" (include "istio-port-exporter.componentLabels" $scope | fromYaml)) }}
    - {{- toYaml (merge (deepCopy .) $selector) | nindent 6 }}
    {{- end }}
  {{- end }}
  containers:
    - name: exporter
      image: {{ include "istio-port-exporter.image" .root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - serve
        - --config.file=/etc/istio-port-exporter/exporter.yaml
        {{- with $values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: NODE_NAME
          valueFrom:
            fieldRef:
              fieldPath: spec.nodeName
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: metrics
          containerPort: {{ $values.web.port }}
          protocol: TCP
      livenessProbe:
        {{- include "istio-port-exporter.probe" (dict "root" .root "path" "/-/healthy") | trim | nindent 8 }}
        periodSeconds: 15
        timeoutSeconds: 5
        failureThreshold: 4
      readinessProbe:
        {{- include "istio-port-exporter.probe" (dict "root" .root "path" "/-/ready") | trim | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 5
      startupProbe:
        {{- include "istio-port-exporter.probe" (dict "root" .root "path" "/-/healthy") | trim | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 24
      {{- with $values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml (ternary $values.netns.securityContext $values.securityContext $isInside) | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/istio-port-exporter/exporter.yaml
          subPath: exporter.yaml
          readOnly: true
        {{- if $values.web.configSecret }}
        - name: web
          mountPath: /etc/istio-port-exporter/web
          readOnly: true
        {{- end }}
        {{- if $hasToken }}
        - name: debug-token
          mountPath: /var/run/secrets/istio-port-exporter
          readOnly: true
        {{- end }}
        {{- if $hasRoot }}
        - name: root-cert
          mountPath: /var/run/secrets/istio
          readOnly: true
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "istio-port-exporter.componentName" . }}
    {{- with $values.web.configSecret }}
    - name: web
      secret:
        secretName: {{ . | quote }}
        defaultMode: 0440
    {{- end }}
    {{- if $hasToken }}
    - name: debug-token
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken:
              path: token
              audience: {{ $values.istiod.debugToken.audience | quote }}
              expirationSeconds: {{ $values.istiod.debugToken.expirationSeconds }}
    {{- end }}
    {{- if $hasRoot }}
    - name: root-cert
      configMap:
        name: {{ $values.istiod.rootCertConfigMap | quote }}
        {{- /* Without it the exporter verifies nothing and sends no token; everything else works. */}}
        optional: true
        items:
          - key: root-cert.pem
            path: root-cert.pem
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "istio-port-exporter.probe" -}}
{{- if eq .root.Values.web.probe "tcp" }}
tcpSocket:
  port: metrics
{{- else }}
httpGet:
  path: {{ .path }}
  port: metrics
  scheme: {{ .root.Values.web.scheme | upper }}
{{- end }}
{{- end }}
