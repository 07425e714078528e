{{/* Whether the API server lacks a kind of a group version that every one has: (dict "context" $ "kind" "…" "known" "…").
     `helm template` knows group versions alone, unless it is told more by --api-versions; `known` is a kind of the same
     group version that is always there, and so tells whether kinds are known at all. */}}
{{- define "tidegate.lacks" -}}
{{- $has := .context.Capabilities.APIVersions -}}
{{- if and ($has.Has .known) (not ($has.Has .kind)) }}true{{ end -}}
{{- end }}

{{/* What becomes of the policy on who may write what of a status: installed, off, or missing. */}}
{{- define "tidegate.statusPolicy" -}}
{{- $group := "admissionregistration.k8s.io/v1" -}}
{{- $policy := printf "%s/ValidatingAdmissionPolicy" $group -}}
{{- if not .Values.statusPolicy.install -}}
off
{{- else if include "tidegate.lacks" (dict "context" $ "kind" $policy "known" (printf "%s/ValidatingWebhookConfiguration" $group)) -}}
missing
{{- else -}}
installed
{{- end -}}
{{- end }}
