"""What `skillbank completion` prints: for each shell a script that asks `skillbank __complete` what could come next."""

from __future__ import annotations

BASH = r"""# Completion of skillbank and pose_classification for bash. In ~/.bashrc: source <(skillbank completion bash)
_skillbank_complete() {
    local bank=skillbank IFS=$'\n'
    case "$1" in */*) bank="${1%/*}/skillbank" ;; esac
    COMPREPLY=($("$bank" __complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=:] ]]; then compopt -o nospace; fi
}
complete -o default -F _skillbank_complete skillbank pose_classification
"""

ZSH = r"""#compdef skillbank pose_classification
# Completion of skillbank and pose_classification for zsh. To try: source <(skillbank completion zsh)
# For every shell: skillbank completion zsh > "${fpath[1]}/_skillbank"
_skillbank() {
    local bank=skillbank
    [[ "$words[1]" == */* ]] && bank="${words[1]:h}/skillbank"
    local -a found open
    found=("${(@f)$("$bank" __complete zsh "${(@Q)words[1,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    open=(${(M)found:#*[=:]})
    (( $#found )) || { _files; return }
    compadd -S '' -a open
    found=(${found:#*[=:]})
    compadd -a found
}
if [[ "$funcstack[1]" == _skillbank ]]; then _skillbank "$@"; else compdef _skillbank skillbank pose_classification; fi
"""

FISH = r"""# Completion of skillbank and pose_classification for fish. To try: skillbank completion fish | source
# For every shell: skillbank completion fish > ~/.config/fish/completions/skillbank.fish
function __skillbank_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l bank skillbank
    string match -q '*/*' -- $words[1]; and set bank (dirname $words[1])/skillbank
    $bank __complete fish $words 2>/dev/null
end
complete -c skillbank -f -a '(__skillbank_complete)'
complete -c pose_classification -f -a '(__skillbank_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
