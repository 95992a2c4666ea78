# fish completion for nitrox. In ~/.config/fish/config.fish: nitrox completion fish | source
# Or put it into ~/.config/fish/completions under the name nitrox.fish.

function __nitrox
	set -l line (commandline -opc)
	switch $line[-1]
		case --config -c --metrics-file
			__fish_complete_path (commandline -ct)
		case --output -o
			printf '%s\n' text json nscli
		case --log-format
			printf '%s\n' text json
		case --log-level
			printf '%s\n' debug info warn error
		case --loop --listen --leader-elect --user --password
		case '*'
			# The program knows its commands and options; it is asked with what
			# stands before the cursor.
			string match -q -- '-*' (commandline -ct); and set -a line -
			$line --generate-bash-completion 2>/dev/null
	end
end
complete -c nitrox -f -a '(__nitrox)'
