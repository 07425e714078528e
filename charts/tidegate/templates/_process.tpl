{{/* An image's full name: (dict "context" $ "image" .Values.images.operator). */}}
{{- define "tidegate.image" -}}
{{- $repository := .image.repository -}}
{{- with .image.registry | default .context.Values.images.registry -}}
  {{- /* What stands before the first slash is a registry if it has a dot or a port, as in any image's name. */ -}}
  {{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $repository "") -}}
{{- end -}}
{{- $tag := .image.tag | default (ternary "" .context.Chart.AppVersion (not (empty .image.digest))) -}}
{{ $repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .image.digest }}@{{ . }}{{ end }}
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

{{/* What every pod of the chart has in common; fit for a namespace that enforces `restricted`:
     (dict "context" $ "process" "xds" "values" .Values.xds). */}}
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
    # Each version is spread by itself: one that goes makes no room look taken.
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels: {{- include "tidegate.selector" $ | nindent 8 }}
  {{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "tidegate.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end }}

{{/* One of the operator image's processes:
     (dict "context" $ "process" "xds" "command" "xds" "values" .Values.xds "ports" list "env" dict
     "volumes" dict). */}}
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
      {{- with .values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
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
            {{- with .context.Values.exposure.domain }}
            - name: TIDEGATE_EXTERNAL_DOMAIN
              value: {{ . }}
            - name: TIDEGATE_EXTERNAL_SCHEME
              value: {{ $.context.Values.exposure.scheme }}
            {{- end }}
            {{- if .context.Values.watchNamespaces }}
            - name: TIDEGATE_WATCH_NAMESPACES
              value: {{ include "tidegate.namespaces" .context | quote }}
            {{- end }}
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
            {{- range $name, $volume := .volumes }}
            - {name: {{ $name }}, mountPath: /etc/tidegate/{{ $name }}, readOnly: true}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
        {{- range $name, $volume := .volumes }}
        - name: {{ $name }}
          {{- toYaml $volume | nindent 10 }}
        {{- end }}
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

{{/* The namespaces that are watched, as a JSON list: those of watchNamespaces, and the install's, where the routers are. */}}
{{- define "tidegate.namespaces" -}}
{{ append .Values.watchNamespaces .Release.Namespace | uniq | sortAlpha | toJson }}
{{- end }}

{{/* A process's rights wherever there are services, and their binding to its account: cluster-wide, or in each watched
     namespace. (dict "context" $ "process" "xds" "rules" string). */}}
{{- define "tidegate.watchingRole" -}}
{{- $scopes := list (dict "role" "ClusterRole" "name" (printf "tidegate-%s" .process)) }}
{{- if .context.Values.watchNamespaces }}
{{- $scopes = list }}
{{- range include "tidegate.namespaces" .context | fromJsonArray }}
{{- $scopes = append $scopes (dict "role" "Role" "name" (printf "tidegate-%s-watch" $.process) "namespace" .) }}
{{- end }}
{{- end }}
{{- range $scopes }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .role }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "tidegate.labels" $ | nindent 4 }}
rules:
  {{- $.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .role }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "tidegate.labels" $ | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ .role }}, name: {{ .name }}}
subjects:
  - {kind: ServiceAccount, name: tidegate-{{ $.process }}, namespace: {{ $.context.Release.Namespace }}}
{{- end }}
{{- end }}

{{/* A process's rights in the install's namespace, and their binding. */}}
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
