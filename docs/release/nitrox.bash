# bash completion for nitrox. In ~/.bashrc: source <(nitrox completion bash)
# Or put it into /usr/share/bash-completion/completions under the name nitrox.

_nitrox() {
	local word=${COMP_WORDS[COMP_CWORD]} words
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	--config | -c | --metrics-file)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--output | -o) words="text json nscli" ;;
	--log-format) words="text json" ;;
	--log-level) words="debug info warn error" ;;
	--loop | --listen | --leader-elect | --user | --password) return ;;
	*)
		# The program knows its commands and options; it is asked with what
		# stands before the cursor.
		local line=("${COMP_WORDS[@]:0:COMP_CWORD}")
		[[ $word == -* ]] && line+=(-)
		local IFS=$'\n' found
		mapfile -t found < <("${line[@]}" --generate-bash-completion 2>/dev/null)
		COMPREPLY=()
		for words in "${found[@]}"; do
			# Names of apps may have spaces.
			[[ $words == "$word"* ]] && COMPREPLY+=("$(printf %q "$words")")
		done
		return
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _nitrox nitrox
