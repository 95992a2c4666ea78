{{- define "nitrox.selector" -}}
app.kubernetes.io/name: nitrox
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nitrox.labels" -}}
{{ include "nitrox.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{- define "nitrox.mapping" -}}
{{- if kindIs "map" .Values.mapping }}{{ toYaml .Values.mapping }}{{ else }}{{ .Values.mapping | default "" }}{{ end }}
{{- end }}

{{- /* What is not in a tenant's namespace alone: no other release has this name. */ -}}
{{- define "nitrox.owner" -}}
{{ .Release.Namespace }}:{{ .Release.Name }}
{{- end }}

{{- /*
The rights that Nitrox needs in this cluster, as YAML: whether it asks the API server at all, whether
it lists nodes, and what it needs in each namespace; "*" is all of them. They follow from the
mapping's sources without kubeconfig and context: those are this cluster. `nitrox doctor` computes
the same, and a test compares the two.
*/ -}}
{{- define "nitrox.rights" -}}
{{- $more := .Values.rights -}}
{{- $namespaces := dict -}}
{{- range $more.namespaces -}}
  {{- $_ := set $namespaces . (dict "slices" true "pods" $more.pods "events" $more.events) -}}
{{- end -}}
{{- $nodes := $more.nodes -}}
{{- $mapping := include "nitrox.mapping" . | fromYaml -}}
{{- with $mapping.Error -}}{{- fail (printf "\n\nmapping: %s\nCorrect it; nitrox validate --config FILE tells more." .) -}}{{- end -}}
{{- if and $mapping .Values.existingConfigMap -}}
  {{- fail "\n\nmapping and existingConfigMap are both given: remove one of them." -}}
{{- else if not (or $mapping .Values.existingConfigMap) -}}
  {{- fail "\n\nThere is no mapping: give it with --set-file mapping=nitrox.yaml, or name a ConfigMap with existingConfigMap." -}}
{{- end -}}
{{- if $mapping.include -}}
  {{- $remedy := "put all of them into a ConfigMap of your own, and name it with existingConfigMap." -}}
  {{- fail (printf "\n\nmapping: include names files that the chart cannot see: %s" $remedy) -}}
{{- end -}}
{{- range $name, $netscaler := $mapping.netscalers -}}
  {{- if not (and $netscaler.username $netscaler.password_file) -}}
    {{- $why := "needs username and password_file, since pods have neither $NS_USER nor $NS_PASSWORD" -}}
    {{- $remedy := "put the password into a Secret, and write password_file: /etc/netscaler/password." -}}
    {{- fail (printf "\n\nmapping: netscaler %s %s: %s" $name $why $remedy) -}}
  {{- end -}}
{{- end -}}
{{- $here := dict -}}
{{- range $name, $source := $mapping.sources -}}
  {{- if and (kindIs "map" $source) (hasKey $source "kubernetes") -}}
    {{- $config := $source.kubernetes | default dict -}}
    {{- if not (or $config.kubeconfig $config.context) -}}{{- $_ := set $here $name $config -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- $wanted := list -}}
{{- range $app := $mapping.apps -}}
  {{- range $from := $app.from -}}
    {{- $service := toString $from.service -}}
    {{- if and (hasKey $here (toString $from.source)) (not (regexMatch "^[a-z0-9-]+/." $service)) -}}
      {{- fail (printf "\n\nmapping: app %v: service %s is not a namespace and a name: write it like shop/account." $app.name $service) -}}
    {{- end -}}
    {{- $namespace := splitList "/" $service | first -}}
    {{- $wanted = append $wanted (dict "source" $from.source "namespace" $namespace "address" ($from.address | default "node_port")) -}}
  {{- end -}}
{{- end -}}
{{- range $entry := $mapping.discover -}}
  {{- $those := $entry.namespaces | default "*" -}}
  {{- range kindIs "slice" $those | ternary $those (list $those) -}}{{- /* one may stand for a list of one */ -}}
    {{- $wanted = append $wanted (dict "source" $entry.source "namespace" . "address" "node_port") -}}
  {{- end -}}
{{- end -}}
{{- range $wanted -}}
  {{- $config := get $here (toString .source) -}}
  {{- if hasKey $here (toString .source) -}}
    {{- $needs := get $namespaces .namespace | default (dict "pods" $more.pods "events" $more.events) -}}
    {{- if ne .address "load_balancer" -}}{{- $_ := set $needs "slices" true -}}{{- end -}}
    {{- if eq .address "host_port" -}}{{- $_ := set $needs "pods" true -}}{{- end -}}
    {{- if has .address (list "node_port" "host_port") -}}{{- $nodes = true -}}{{- end -}}
    {{- if eq (lower (toString $config.events)) "true" -}}{{- $_ := set $needs "events" true -}}{{- end -}}
    {{- $_ := set $namespaces .namespace $needs -}}
  {{- end -}}
{{- end -}}
{{- dict "asks" (or (eq .Values.mode "replicas") $nodes (gt (len $namespaces) 0)) "nodes" $nodes "namespaces" $namespaces | toYaml -}}
{{- end }}

{{- /* What is done with each kind of object. */ -}}
{{- define "nitrox.rules" -}}
{{- $verbs := .watch | ternary "[list, watch]" "[list]" -}}
{{- with .needs }}
  - apiGroups: [""]
    resources: [services]
    verbs: {{ $verbs }}
{{- if .slices }}
  - apiGroups: [discovery.k8s.io]
    resources: [endpointslices]
    verbs: {{ $verbs }}
{{- end }}
{{- if .pods }}
  - apiGroups: [""]
    resources: [pods]
    verbs: [list]
{{- end }}
{{- if .events }}
  - apiGroups: [events.k8s.io]
    resources: [events]
    verbs: [create]
{{- end }}
{{- end }}
{{- if .nodes }}
  - apiGroups: [""]
    resources: [nodes]
    verbs: {{ $verbs }}
{{- end }}
{{- end }}

{{- /* The pods' own part is the same in all modes. */ -}}
{{- define "nitrox.pod" -}}
{{- $loops := ne .Values.mode "cronjob" -}}
{{- $asks := (include "nitrox.rights" . | fromYaml).asks -}}
{{- if and .Values.watch (not $loops) -}}
  {{- fail "\n\nwatch needs mode: loop or replicas, since events only shorten the time to the next pass: set mode, or remove watch." -}}
{{- end -}}
metadata:
  labels:
    {{- include "nitrox.selector" . | nindent 4 }}
spec:
  {{- if not $loops }}
  restartPolicy: Never
  {{- end }}
  serviceAccountName: {{ .Release.Name }}
  automountServiceAccountToken: false
  {{- if $loops }}
  terminationGracePeriodSeconds: 60 # to end a pass, save, log out and release the lease
  {{- end }}
  {{- if eq .Values.mode "replicas" }}
  topologySpreadConstraints:        # not both on one node, if there are several
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "nitrox.selector" . | nindent 10 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  {{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" }}
  {{- with get $.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: nitrox
      {{- with .Values.image }}
      image: {{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
      imagePullPolicy: {{ .pullPolicy }}
      {{- end }}
      command:
        - /nitrox
        - {{ .Values.dryRun | ternary "plan" "sync" }}
        {{- if $loops }}
        - --loop
        - {{ .Values.interval }}
        {{- end }}
        {{- if .Values.watch }}
        - --watch
        {{- end }}
        {{- if eq .Values.mode "replicas" }}
        - --leader-elect
        - {{ .Release.Namespace }}/{{ .Release.Name }}
        - --listen
        - "0.0.0.0:9090"
        {{- end }}
        - --config
        - /etc/nitrox/nitrox.yaml
        - --log-format
        - json
      {{- if eq .Values.mode "replicas" }}
      ports:
        - {name: http, containerPort: 9090}
      # Red if no pass has ended for three intervals. A failing source or
      # NetScaler does not cause a restart; a standby counts as alive.
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 30
        timeoutSeconds: 5
      # Red until the last pass has reached every NetScaler and a source.
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: mapping, mountPath: /etc/nitrox, readOnly: true}
        {{- range $folder, $_ := .Values.secrets }}
        - {name: {{ $folder }}, mountPath: /etc/{{ $folder }}, readOnly: true}
        {{- end }}
        {{- if $asks }}
        - {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
        {{- end }}
  volumes:
    - name: mapping
      configMap: {name: {{ .Values.existingConfigMap | default .Release.Name }}}
    {{- range $folder, $secret := .Values.secrets }}
    - name: {{ $folder }}
      secret: {secretName: {{ $secret }}, defaultMode: 0440}
    {{- end }}
    {{- if $asks }}
    - name: token                   # one that expires soon
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken: {path: token, expirationSeconds: 600}
          - configMap:
              name: kube-root-ca.crt
              items: [{key: ca.crt, path: ca.crt}]
    {{- end }}
{{- end }}
