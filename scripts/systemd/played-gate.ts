/**
 * The health gate and the command `slot`, as they are shipped, over made-up folders: systemd, time and waiting are played, by
 * functions of the shell that reads the script. Each process costs, so one shell plays many cases.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after } from 'node:test';

export const shipped = resolve(import.meta.dirname, '../../packaging/usr/lib/felhom');
export const allOk = 'config=ok journal=ok proxmox=ok local-api=ok hub=ok';

/** What one look meets. Unsaid: a second later, all is well. */
export interface Look {
  readonly after?: number;
  readonly active?: string;
  readonly sub?: string;
  readonly restarts?: number;
  readonly status?: string;
  readonly boot?: string;
  /** systemd answers nothing. */
  readonly silent?: boolean;
  /** Root's word, given before it. */
  readonly order?: string;
  /** Somebody makes the link lead there. */
  readonly link?: string;
  /** A line of shell before it. */
  readonly hook?: string;
}

const facts = (text: string): string => `guests: 2, at work: 0 [${text}]`;
export const without = (fact: string, instead = 'no'): string =>
  facts(allOk.replace(`${fact}=ok`, `${fact}=${instead}`));

const everywhere = mkdtempSync(join(tmpdir(), 'felhom-gate-'));
after(() => rmSync(everywhere, { recursive: true }));

export interface Ended {
  readonly code: number;
  readonly said: string;
}
/** The code of a gate that met its last look: it is ended there as if it had been killed. */
export const killed = 99;
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

export class Place {
  readonly root: string;
  constructor() {
    this.root = mkdtempSync(join(everywhere, 'host-'));
    for (const folder of ['opt/felhom/slots/a', 'opt/felhom/slots/b', 'var/lib/felhom-gate'])
      mkdirSync(join(this.root, folder), { recursive: true });
    symlinkSync('.', this.in('opt/felhom/current'));
    this.write('proc/uptime', '1000.00 2000.00\n');
    this.write('proc/sys/kernel/random/boot_id', 'boot-1\n');
  }
  in(name: string): string {
    return join(this.root, name);
  }
  write(name: string, text: string): void {
    mkdirSync(dirname(this.in(name)), { recursive: true });
    writeFileSync(this.in(name), text);
  }
  read(name: string): string {
    return existsSync(this.in(name)) ? readFileSync(this.in(name), 'utf8') : '';
  }
  link(target: string): void {
    rmSync(this.in('opt/felhom/current'));
    symlinkSync(target, this.in('opt/felhom/current'));
  }
  state(name: string): Record<string, string> {
    const lines = this.read(`var/lib/felhom-gate/${name}`).split('\n').filter(Boolean);
    return Object.fromEntries(lines.map((line) => line.split('=', 2)));
  }
  /** What `program` will meet when it is played: `functions` of the shell, instead of the programs of those names. */
  prepare(program: string, args: readonly string[], functions: readonly string[]): void {
    const lines = [
      `GATE_ROOT=${quoted(this.root)} GATE_OWNER=${userInfo().username} GATE_WAIT=next_look`,
      `cd ${quoted(this.root)}`,
      'timeout() { shift; "$@"; }',
      'sync() { :; }',
      ...functions,
      `set -- ${args.map(quoted).join(' ')}`,
      `. ${quoted(join(shipped, program))}`,
    ];
    this.write('play', `${lines.join('\n')}\n`);
  }
  async run(program: string, args: readonly string[], functions: readonly string[]): Promise<Ended> {
    this.prepare(program, args, functions);
    await playAll([this]);
    return this.ended();
  }
  ended(): Ended {
    return { code: Number(this.read('code')), said: this.read('said') };
  }
}

/** Plays what was prepared, one after the other. */
export function playAll(places: readonly Place[]): Promise<void> {
  const loop = 'for root; do (. "$root/play") >"$root/said" 2>&1; echo $? >"$root/code"; done';
  return new Promise((done, failed) =>
    execFile('/bin/sh', ['-c', loop, 'sh', ...places.map(({ root }) => root)], { timeout: 60_000 }, (error) =>
      error === null ? done() : failed(error),
    ),
  );
}

/** Every wait of the gate brings the next look; after the last one it is killed. */
export function playLooks(looks: readonly Look[]): readonly string[] {
  let uptime = 1000;
  const turns = looks.map((look, index) => {
    uptime = look.boot === undefined ? uptime + (look.after ?? 1) : (look.after ?? 1);
    const { active = 'active', sub = 'running', restarts = 0, status = facts(allOk) } = look;
    const shown = `ActiveState=${active}\nSubState=${sub}\nNRestarts=${restarts}\nStatusText=${status}\n`;
    return [
      `${index + 1}) shown=${quoted(look.silent === true ? '' : shown)}; echo '${uptime}.37 1.00' >proc/uptime`,
      ...(look.boot === undefined ? [] : [`echo ${look.boot} >proc/sys/kernel/random/boot_id`]),
      ...(look.order === undefined ? [] : [`echo ${look.order} >var/lib/felhom-gate/order`]),
      ...(look.link === undefined ? [] : [`command ln -sfn ${look.link} opt/felhom/current`]),
      look.hook ?? '',
      ';;',
    ].join('\n');
  });
  return [
    // What is asked each turn, without a process for it.
    'date() { echo 1800001000; }',
    'mv() { case "$1 $2" in "-f "*.new) copy "$2" "$3" ;; *) command mv "$@" ;; esac; }',
    `copy() { while IFS= read -r line; do printf '%s\\n' "$line"; done <"$1" >"$2"; }`,
    'readlink() { cd -P "$1"; case $PWD in */slots/*) echo "slots/${PWD##*/}" ;; *) echo . ;; esac; }',
    "turn=0 shown=''",
    'next_look() {',
    'turn=$((turn + 1))',
    `case $turn in\n${turns.join('\n')}\n*) exit ${killed} ;; esac`,
    '}',
    'systemctl() {',
    'case $1 in show) printf %s "$shown" ;; stop | start) echo "$1 $(readlink opt/felhom/current)" >>calls ;; esac',
    '}',
  ];
}

export const trialText = (trial: Readonly<Record<string, string | number>>): string =>
  Object.entries({ slot: 'a', previous: 'base', build: '0.2.0+abc', began: 1_800_000_000, ...trial })
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');

/** In the middle of it, on this boot: the link is there already. */
export const watched = (more: Readonly<Record<string, string | number>> = {}) => ({
  phase: 'watch',
  boot: 'boot-1',
  uptime: 1000,
  ready: 1,
  ...more,
});
export const controlled = (more: Readonly<Record<string, string | number>> = {}) =>
  watched({ phase: 'control', ...more });
export const times = (count: number, look: Look): Look[] => Array.from({ length: count }, () => look);
