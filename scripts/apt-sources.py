#!/usr/bin/env python3
"""apt-sources.py - this machine's Debian sources, with the suite's name changed.

Usage: scripts/apt-sources.py SUITE    (used by scripts/apt-suite)

Reads sources.list and sources.list.d in both formats, keeps what names this machine's own suite (and its
-updates and -security), and prints the same as deb822 stanzas for SUITE. Sources of other parties, whose
suites have other names, are left out. Exit: 0 printed, 1 nothing found.
"""
import glob
import re
import subprocess
import sys

GENERIC = {"stable", "oldstable", "oldoldstable", "testing"}


def own_codename():
    for line in open("/etc/os-release", encoding="utf-8"):
        if line.startswith("VERSION_CODENAME="):
            return line.split("=", 1)[1].strip().strip('"')
    return ""


def etc_dir(name):
    """Where apt keeps its sources: asked of apt itself."""
    shell = subprocess.run(["apt-config", "shell", "X", name], capture_output=True, text=True, check=True)
    match = re.search(r"X='(.*)'", shell.stdout)
    return match.group(1) if match else ""


def stanzas_deb822(text):
    for block in re.split(r"\n\s*\n", text):
        fields, name = {}, None
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and name:
                fields[name] += "\n" + line
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().title()
                fields[name] = value.strip()
        if fields.get("Enabled", "yes").lower() not in ("no", "false") and "Suites" in fields:
            yield fields


def stanzas_one_line(text):
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*?)\s*(?:#.*)?$", line)
        if not match:
            continue
        options, uri, suite, components = match.groups()
        fields = {"Types": "deb", "Uris": uri, "Suites": suite, "Components": components}
        for option in (options or "").split():
            name, _, value = option.partition("=")
            name = {"arch": "Architectures"}.get(name, name).title()
            fields[name] = value.replace(",", " ")
        yield fields


def translate(fields, codename, suite):
    """The stanza for SUITE, or None when it is not one of this machine's own suite."""
    base, backports = re.sub(r"-backports$", "", suite), suite.endswith("-backports")
    if "deb" not in fields.get("Types", "").split():
        return None
    wanted = []
    for name in fields["Suites"].split():
        match = re.match(r"([a-z]+)(-updates|-security|-backports)?$", name)
        if not match or match.group(1) not in GENERIC | {codename} or match.group(2) == "-backports":
            continue
        wanted.append(base + (match.group(2) or ""))
        if backports and not match.group(2):
            wanted.append(suite)
    if not wanted:
        return None
    result = dict(fields, Types="deb", Suites=" ".join(dict.fromkeys(wanted)))
    result.pop("Enabled", None)
    return result


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 4
    codename = own_codename()
    found = []
    main_list, parts = etc_dir("Dir::Etc::SourceList/f"), etc_dir("Dir::Etc::SourceParts/d").rstrip("/")
    for path in [main_list] + sorted(glob.glob(parts + "/*.list") + glob.glob(parts + "/*.sources")):
        try:
            text = open(path, encoding="utf-8").read()
        except OSError:
            continue
        parse = stanzas_deb822 if path.endswith(".sources") else stanzas_one_line
        found += [stanza for stanza in (translate(f, codename, sys.argv[1]) for f in parse(text)) if stanza]
    if not found:
        print(f"apt-sources.py: no source of this machine names its own suite '{codename}'", file=sys.stderr)
        return 1
    unique = dict.fromkeys("\n".join(f"{name}: {value}" for name, value in stanza.items()) for stanza in found)
    print("\n\n".join(unique))
    return 0


if __name__ == "__main__":
    sys.exit(main())
