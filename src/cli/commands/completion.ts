// SPDX-License-Identifier: Apache-2.0
import type { Command, Option } from 'commander';
import { sourceOf, stateRootOf } from '../context.ts';
import { KIND_INFOS, kindsOf } from '../kinds.ts';

/** The script that a shell loads: it asks `cubeplane __complete` each time, so it never goes out of date. */
export function completionScript(shell: 'bash' | 'zsh' | 'fish'): string {
  return SCRIPTS[shell];
}

export async function printScript(shell: 'bash' | 'zsh' | 'fish'): Promise<void> {
  process.stdout.write(completionScript(shell));
}

/** Prints what may stand at the last of the words, one a line; `:files` where the shell should offer files. */
export async function complete(program: Command, words: readonly string[]): Promise<void> {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const found = await candidates(program, before, current);
  for (const word of found) if (word === FILES || word.startsWith(current)) process.stdout.write(`${word}\n`);
}

const FILES = ':files';
const PATH_OPTIONS = [
  '--filename',
  '--manifests',
  '--kubeconfig',
  '--state-dir',
  '--bpffs',
  '--cgroup',
  '--netns',
  '--pcap',
];

async function candidates(program: Command, before: readonly string[], current: string): Promise<string[]> {
  const name = before.find((word) => !word.startsWith('-'));
  const command = program.commands.find((one) => one.name() === name);
  if (command === undefined) {
    if (current.startsWith('-')) return longOptions(program.options);
    return program.commands.map((one) => one.name()).filter((one) => !one.startsWith('__'));
  }
  const last = before.at(-1) ?? '';
  const pending = command.options.find(
    (option) => option.required && (option.long === last || option.short === last),
  );
  if (pending !== undefined) return await valuesOf(pending, before);
  if (current.startsWith('-')) return longOptions(command.options);
  return await argumentsOf(command, before);
}

function longOptions(options: readonly Option[]): string[] {
  return [...options.flatMap((option) => option.long ?? []), '--help'];
}

async function valuesOf(option: Option, before: readonly string[]): Promise<string[]> {
  if (option.argChoices !== undefined) return option.argChoices;
  if (PATH_OPTIONS.includes(option.long ?? '')) return [FILES];
  if (option.long === '--output') return ['wide', 'json', 'yaml', 'name', 'jsonpath='];
  if (option.long === '--namespace') {
    const lists = await Promise.all(KIND_INFOS.map((info) => objects(info.plural, before)));
    return [...new Set(lists.flat().flatMap(({ metadata }) => metadata.namespace ?? []))].sort();
  }
  if (option.long === '--node') return (await objects('nodes', before)).map(({ metadata }) => metadata.name);
  return [];
}

async function argumentsOf(command: Command, before: readonly string[]): Promise<string[]> {
  const shells = command.registeredArguments[0]?.argChoices;
  if (shells !== undefined) return shells;
  if (command.name() === 'validate') return [FILES];
  if (!['get', 'describe', 'delete'].includes(command.name())) return [];
  const given = positionals(command, before).slice(1);
  const [kind] = given;
  if (kind === undefined) return [...KIND_INFOS.map((info) => info.plural), 'cubeplane'];
  return (await objects(kind, before)).map(({ metadata }) => metadata.name);
}

/** Words that are neither options nor their values, the command itself included. */
function positionals(command: Command, before: readonly string[]): string[] {
  return before.filter((word, index) => {
    if (word.startsWith('-')) return false;
    const last = before[index - 1];
    const option = command.options.find(
      (one) => last !== undefined && (one.long === last || one.short === last),
    );
    return option?.required !== true;
  });
}

interface Named {
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** Objects of a kind, from where the words so far say that they are; none when that cannot be read. */
async function objects(kind: string, before: readonly string[]): Promise<readonly Named[]> {
  const value = (name: string) => before.find((_, index) => before[index - 1] === name);
  const options = Object.fromEntries(
    [
      ['manifests', value('--manifests')],
      ['kubeconfig', value('--kubeconfig')],
      ['context', value('--context')],
      ['stateDir', value('--state-dir')],
    ].filter(([, given]) => given !== undefined),
  ) as { manifests?: string; kubeconfig?: string; context?: string; stateDir?: string };
  const [info] = kindsOf(kind);
  if (info === undefined) return [];
  try {
    const source = sourceOf(options);
    if (source.type === 'directory') {
      const { DirectoryView } = await import('../view/directory-view.ts');
      return await new DirectoryView(source.directory, stateRootOf(options)).list(info, {});
    }
    const { ClusterView } = await import('../view/cluster-view.ts');
    const view = await ClusterView.open(source);
    try {
      return await view.list(info, {});
    } finally {
      await view.close();
    }
  } catch {
    return [];
  }
}

const SCRIPTS = {
  bash: `# bash completion for cubeplane
_cubeplane() {
  local line current="\${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=()
  while IFS= read -r line; do
    if [ "$line" = ":files" ]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
    else
      COMPREPLY+=("$line")
    fi
  done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _cubeplane cubeplane
`,
  zsh: `#compdef cubeplane
_cubeplane() {
  local -a lines
  lines=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "\${lines[1]}" == ":files" ]]; then
    _files
  else
    compadd -a lines
  fi
}
if [ "$funcstack[1]" = "_cubeplane" ]; then _cubeplane "$@"; else compdef _cubeplane cubeplane; fi
`,
  fish: `# fish completion for cubeplane
function __cubeplane_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] __complete -- $words[2..-1] 2>/dev/null)
    if test "$lines[1]" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $lines
    end
end
complete -c cubeplane -f -a '(__cubeplane_complete)'
`,
} as const;
