{{/* The beginning of all names; `-operator` and the like fit behind it. */}}
{{- define "joulebench.name" -}}
{{- $default := ternary .Release.Name (printf "%s-joulebench" .Release.Name) (contains "joulebench" .Release.Name) -}}
{{- .Values.fullnameOverride | default $default | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* What selects the pods of a part; never changed, since selectors cannot be. */}}
{{- define "joulebench.selector" -}}
app.kubernetes.io/name: joulebench
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{/* Labels of an object of the release. */}}
{{- define "joulebench.labels" -}}
{{ include "joulebench.selector" . }}
app.kubernetes.io/part-of: joulebench
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The reference of an image, by its name. */}}
{{- define "joulebench.image" -}}
{{- $images := .root.Values.images -}}
{{- index $images .name | default (printf "%sjoulebench-%s:%s" $images.prefix .name ($images.tag | default .root.Chart.AppVersion)) -}}
{{- end -}}

{{/* A mount of the node that nobody can write through, nor through what is mounted in it (Kubernetes 1.30 and newer). */}}
{{- define "joulebench.readOnly" -}}
readOnly: true{{ if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version }}, recursiveReadOnly: IfPossible{{ end }}
{{- end -}}

{{/* The operator's configuration file. */}}
{{- define "joulebench.configuration" -}}
{{- $kind := dict "apiVersion" "config.joulebench.dev/v1alpha1" "kind" "OperatorConfiguration" -}}
{{- if kindIs "string" .Values.config }}{{ .Values.config }}{{ else }}{{ merge $kind .Values.config | toYaml }}{{ end }}
{{- end -}}

{{/* The namespace with the exporter's pods; empty: there are none. */}}
{{- define "joulebench.exporterNamespace" -}}
{{- if .Values.exporter.enabled }}{{ .Release.Namespace }}{{ else }}{{ .Values.exporter.namespace }}{{ end }}
{{- end -}}

{{/* Whose service accounts the exporter lets in, the operator's among them, as JSON; none: all. */}}
{{- define "joulebench.exporterCallers" -}}
{{- $callers := .Values.exporter.allowNamespaces | default .Values.watchNamespaces -}}
{{- if $callers }}{{ append $callers .Release.Namespace | uniq | toJson }}{{ else }}[]{{ end }}
{{- end -}}

{{/* What the operator may do where benchmarks run. It reads no Secret: it passes references on. */}}
{{- define "joulebench.operatorRules" -}}
- apiGroups: [joulebench.dev]
  resources: [modelservers, benchmarkruns, benchmarkcampaigns]
  verbs: [get, list, watch]
- apiGroups: [joulebench.dev]
  resources: [modelservers/status, benchmarkruns/status, benchmarkcampaigns/status]
  verbs: [patch]
# Where OwnerReferencesPermissionEnforcement is on, who makes a child must have this right over its owner.
- apiGroups: [joulebench.dev]
  resources: [modelservers/finalizers, benchmarkruns/finalizers, benchmarkcampaigns/finalizers]
  verbs: [update]
- apiGroups: [joulebench.dev]
  resources: [modelservers]
  verbs: [create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
