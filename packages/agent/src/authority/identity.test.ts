/** The full product: each fact matches, is missing, or differs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { vmid } from '@felhom/protocol';
import { dataVolume, foreignVolume, makeRecord, otherUid, rootVolume, uid } from '../../test/gate-facts.ts';
import { identify, parseMarker } from './identity.ts';
import type { Identity, Marker, ObservedGuest } from './identity.ts';
import { markerLine } from './guest-record.ts';

const record = makeRecord();
const marks = {
  match: { is: 'present', uid, incarnation: 1, n: 'n1' },
  missing: { is: 'missing' },
  'other-uid': { is: 'present', uid: otherUid, incarnation: 1, n: 'n1' },
  'other-incarnation': { is: 'present', uid, incarnation: 2, n: 'n1' },
  'stale-marker': { is: 'present', uid, incarnation: 1, n: 'n0' },
} as const satisfies Record<string, Marker>;
const volumeSets = {
  match: [dataVolume, rootVolume],
  'one missing': [rootVolume],
  'one more': [rootVolume, dataVolume, foreignVolume],
  'one swapped': [rootVolume, foreignVolume],
  none: [],
};
const ctimes = {
  match: new Map([[rootVolume, 100]]),
  missing: new Map(),
  differs: new Map([
    [rootVolume, 100],
    [dataVolume, 999],
  ]),
};
const tasks = { none: [], some: ['UPID:pve:1:vzrestore'] };
const ids = { match: record.vmid, differs: vmid.parse(9001) };

type Cell<T> = keyof T & string;
/** An independent statement of the rule, in its own order of weight. */
function expectedFor(
  id: Cell<typeof ids>,
  task: Cell<typeof tasks>,
  mark: Cell<typeof marks>,
  volumes: Cell<typeof volumeSets>,
  ctime: Cell<typeof ctimes>,
): string {
  if (id === 'differs') return 'foreign other-vmid';
  if (task === 'some') return 'foreign foreign-task';
  if (mark !== 'match' && mark !== 'missing') return `foreign ${mark}`;
  if (mark === 'missing' && volumes !== 'match') return 'foreign marker-missing-volumes-differ';
  if (ctime === 'differs') return 'ours-unproven ctime-differs';
  if (mark === 'missing') return 'ours-unproven marker-missing';
  return volumes === 'match' ? 'ours' : 'ours-unproven volumes-differ';
}
const shortly = (identity: Identity): string => (identity.is === 'ours' ? 'ours' : `${identity.is} ${identity.why}`);
const keys = <T extends object>(of: T): Cell<T>[] => Object.keys(of) as Cell<T>[];

test('the full product of VMID, tasks, marker, volumes and creation times', () => {
  let cells = 0;
  let ours = 0;
  for (const id of keys(ids))
    for (const task of keys(tasks))
      for (const mark of keys(marks))
        for (const volumes of keys(volumeSets))
          for (const ctime of keys(ctimes)) {
            const observed: ObservedGuest = {
              is: 'present',
              vmid: ids[id],
              marker: marks[mark],
              volumes: volumeSets[volumes],
              ctimes: ctimes[ctime],
              foreignTasks: tasks[task],
            };
            const got = shortly(identify(record, observed));
            assert.equal(got, expectedFor(id, task, mark, volumes, ctime), [id, task, mark, volumes, ctime].join(' '));
            cells += 1;
            if (got === 'ours') ours += 1;
          }
  assert.equal(cells, 300);
  // Everything matches, with creation times seen or not offered by the storage.
  assert.equal(ours, 2);
});

for (const is of ['absent', 'forbidden', 'unreadable'] as const)
  test(`${is} says nothing about what is there`, () => {
    assert.deepEqual(identify(record, { is }), { is: 'unknown', why: is });
  });

test('a creation time that the journal does not have is not held against a guest', () => {
  const volumes = record.volumes.map((volume) => ({ ...volume, ctime: undefined }));
  const observed: ObservedGuest = {
    is: 'present',
    vmid: record.vmid,
    marker: marks.match,
    volumes: volumeSets.match,
    ctimes: ctimes.differs,
    foreignTasks: [],
  };
  assert.equal(identify({ ...record, volumes }, observed).is, 'ours');
});

const line = markerLine(record);
for (const [what, description, found] of [
  ['alone', line, true],
  ['after a label, as Proxmox gives it back', `Photos of the family\n${line}\n`, true],
  ['with blanks around it', `  ${line}\r\n`, true],
  ['no description', undefined, false],
  ['an empty description', '', false],
  ['another text', 'hello', false],
  ['two marker lines, even equal ones', `${line}\n${line}`, false],
  ['a marker inside a sentence', `see ${line}`, false],
  ['a marker with more behind it', `${line} edited`, false],
  ['no marker nonce', `felhom:${uid}.1.`, false],
  ['incarnation zero', `felhom:${uid}.0.n1`, false],
  ['a short uid', 'felhom:abc.1.n1', false],
  ['an upper-case uid', `felhom:${uid.toUpperCase()}.1.n1`, false],
] as const)
  test(`marker in a description: ${what}`, () => {
    assert.deepEqual(parseMarker(description), found ? marks.match : marks.missing);
  });
