import { printLine } from '../output.ts';

/**
 * The shells know nothing of the commands: they ask `dcs-io complete` at every Tab, which answers a line for each word
 * (`word<Tab>what it is`), or `:files` or `:folders` for a path. So they are never older than the program.
 */
const scripts: Readonly<Record<string, string>> = {
  bash: `# dcs-io: completion for bash
_dcs_io() {
  local line=\${COMP_LINE:0:COMP_POINT} word rest
  local -a words
  # Not COMP_WORDS: it cuts at every colon, and so through HOST:RX:TX.
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local current=\${words[\${#words[@]} - 1]}
  COMPREPLY=()
  while IFS=$'\\t' read -r word rest; do
    case $word in
      :files) compopt -o filenames; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current") ;;
      :folders) compopt -o filenames; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$current") ;;
      *) COMPREPLY+=("$word") ;;
    esac
  done < <(dcs-io complete -- "\${words[@]:1}" 2> /dev/null)
}
complete -F _dcs_io dcs-io`,
  zsh: `#compdef dcs-io
# dcs-io: completion for zsh
_dcs_io() {
  local line word
  local -a found
  for line in "\${(@f)$(dcs-io complete -- "\${(@)words[2,CURRENT]}" 2> /dev/null)}"; do
    word=\${line%%$'\\t'*}
    case $word in
      :files) _files ;;
      :folders) _files -/ ;;
      ?*) found+=("\${word//:/\\\\:}:\${line#*$'\\t'}") ;;
    esac
  done
  (( $#found )) && _describe dcs-io found
}
if [[ $funcstack[1] == _dcs_io ]]; then _dcs_io "$@"; else compdef _dcs_io dcs-io; fi`,
  fish: `# dcs-io: completion for fish
function __dcs_io_complete
    set -l words (commandline -opc)
    set -l current "$(commandline -ct)"
    for line in (dcs-io complete -- $words[2..] $current 2> /dev/null)
        switch $line
            case ':files*'
                __fish_complete_path $current
            case ':folders*'
                __fish_complete_directories $current
            case '*'
                echo $line
        end
    end
end
complete -c dcs-io -f -a '(__dcs_io_complete)'`,
};

/** Prints the completion of a shell. */
export function completion(shell: string): void {
  printLine(scripts[shell] ?? '');
}
