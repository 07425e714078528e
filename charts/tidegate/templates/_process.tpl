{{/* An image's full name: (dict "context" $ "image" .Values.images.operator). */}}
{{- define "tidegate.image" -}}
{{ .image.repository }}:{{ .image.tag | default .context.Chart.AppVersion }}
{{- end }}

{{/* The labels that select one process: (dict "context" $ "process" "xds"). */}}
{{- define "tidegate.selector" -}}
app.kubernetes.io/name: tidegate-{{ .process }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
{{- end }}

{{/* The labels of one process's objects. */}}
{{- define "tidegate.labels" -}}
{{ include "tidegate.selector" . }}
app.kubernetes.io/part-of: tidegate
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version }}
{{- end }}

{{/* What every pod of the chart has in common; fit for a namespace that enforces `restricted`. */}}
{{- define "tidegate.podDefaults" -}}
{{- with .context.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "tidegate.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- define "tidegate.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end }}

{{/* One of the operator image's processes:
     (dict "context" $ "process" "xds" "command" "xds" "values" .Values.xds "ports" list "env" dict). */}}
{{- define "tidegate.operatorProcess" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: tidegate-{{ .process }}
  namespace: {{ .context.Release.Namespace }}
  labels: {{- include "tidegate.labels" . | nindent 4 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: tidegate-{{ .process }}
  namespace: {{ .context.Release.Namespace }}
  labels: {{- include "tidegate.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  selector:
    matchLabels: {{- include "tidegate.selector" . | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  template:
    metadata:
      labels: {{- include "tidegate.labels" . | nindent 8 }}
    spec:
      {{- include "tidegate.podDefaults" . | nindent 6 }}
      serviceAccountName: tidegate-{{ .process }}
      terminationGracePeriodSeconds: 30
      containers:
        - name: {{ .process }}
          image: {{ include "tidegate.image" (dict "context" .context "image" .context.Values.images.operator) }}
          imagePullPolicy: {{ .context.Values.images.pullPolicy }}
          args: [{{ .command }}]
          env:
            - name: TIDEGATE_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - name: TIDEGATE_CLUSTER_DOMAIN
              value: {{ .context.Values.clusterDomain }}
            {{- range $name, $value := .env }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
          ports:
            - {name: admin, containerPort: 8082}
            {{- range $name, $port := .ports }}
            - {name: {{ $name }}, containerPort: {{ $port }}}
            {{- end }}
          livenessProbe:
            httpGet: {path: /healthz, port: admin}
            initialDelaySeconds: 10
            periodSeconds: 10
            timeoutSeconds: 5
          readinessProbe:
            httpGet: {path: /readyz, port: admin}
            periodSeconds: 2
            timeoutSeconds: 2
          resources: {{- toYaml .values.resources | nindent 12 }}
          securityContext: {{- include "tidegate.containerSecurity" . | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
{{- if gt (int .values.replicas) 1 }}
---
{{ include "tidegate.budget" . }}
{{- end }}
{{- end }}

{{- define "tidegate.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: tidegate-{{ .process }}
  namespace: {{ .context.Release.Namespace }}
  labels: {{- include "tidegate.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "tidegate.selector" . | nindent 6 }}
{{- end }}

{{/* A cluster-wide role and its binding to a process's account: (dict "context" $ "process" "xds" "rules" string). */}}
{{- define "tidegate.clusterRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: tidegate-{{ .process }}
  labels: {{- include "tidegate.labels" . | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: tidegate-{{ .process }}
  labels: {{- include "tidegate.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tidegate-{{ .process }}}
subjects:
  - {kind: ServiceAccount, name: tidegate-{{ .process }}, namespace: {{ .context.Release.Namespace }}}
{{- end }}

{{/* The same in the install's namespace. */}}
{{- define "tidegate.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: tidegate-{{ .process }}
  namespace: {{ .context.Release.Namespace }}
  labels: {{- include "tidegate.labels" . | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: tidegate-{{ .process }}
  namespace: {{ .context.Release.Namespace }}
  labels: {{- include "tidegate.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tidegate-{{ .process }}}
subjects:
  - {kind: ServiceAccount, name: tidegate-{{ .process }}, namespace: {{ .context.Release.Namespace }}}
{{- end }}
