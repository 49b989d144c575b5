# Shown as it is typed, then done. Sourced by the demos.
run() {
    printf '\n$ ragqa'
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9_./=-]*) printf ' "%s"' "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    ragqa "$@"
}
