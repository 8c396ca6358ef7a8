/** The health gate over made-up looks: what it decides, does, and does again after it was killed or could not write. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import {
  shipped,
  allOk,
  without,
  killed,
  Place,
  playAll,
  playLooks,
  trialText,
  watched,
  controlled,
  times,
} from './played-gate.ts';
import type { Look } from './played-gate.ts';

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
