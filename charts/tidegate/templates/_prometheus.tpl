{{/* What the controller's pod has of the install's Prometheus: volumes, by name, each mounted at /etc/tidegate/<name>, as
     JSON. Whatever isn't there keeps no controller from starting: it says what is missing when it is to ask. */}}
{{- define "tidegate.prometheusVolumes" -}}
{{- $volumes := dict }}
{{- with .Values.prometheus }}
{{- if and .bearerToken.secretName .basicAuth.secretName }}
{{- fail "prometheus.bearerToken and basicAuth: a request carries one of them; leave out the other" }}
{{- end }}
{{- if and .ca.secretName .ca.configMapName }}
{{- fail "prometheus.ca: name a Secret or a ConfigMap, not both" }}
{{- end }}
{{- if and (or .bearerToken.secretName .basicAuth.secretName .ca.secretName .ca.configMapName) (not (hasPrefix "https://" .url)) }}
{{- fail "prometheus.url: credentials, or an authority, need https://, or anyone on the way could read them" }}
{{- end }}
{{- with .bearerToken }}
{{- if .secretName }}
{{- $_ := set $volumes "prometheus-access" (dict "secret" (dict "secretName" .secretName "optional" true
  "items" (list (dict "key" .key "path" "token")))) }}
{{- end }}
{{- end }}
{{- with .basicAuth.secretName }}
{{- $_ := set $volumes "prometheus-access" (dict "secret" (dict "secretName" . "optional" true
  "items" (list (dict "key" "username" "path" "username") (dict "key" "password" "path" "password")))) }}
{{- end }}
{{- with .ca }}
{{- $items := list (dict "key" .key "path" "ca.crt") }}
{{- if .secretName }}
{{- $_ := set $volumes "prometheus-ca" (dict "secret" (dict "secretName" .secretName "optional" true "items" $items)) }}
{{- else if .configMapName }}
{{- $_ := set $volumes "prometheus-ca" (dict "configMap" (dict "name" .configMapName "optional" true "items" $items)) }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $volumes }}
{{- end }}
