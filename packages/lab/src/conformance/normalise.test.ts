import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createNames, differences, sameText, tidy, translate } from './normalise.ts';

interface Row {
  readonly name: string;
  readonly path?: string;
  readonly recorded: unknown;
  readonly ours: unknown;
  readonly differ: readonly string[];
}

const rows: readonly Row[] = [
  { name: 'number or text', recorded: { cores: 1 }, ours: { cores: '1' }, differ: [] },
  { name: 'another value', recorded: { cores: 1 }, ours: { cores: 2 }, differ: ['.cores'] },
  { name: 'a missing key', recorded: { cores: 1 }, ours: {}, differ: ['.cores'] },
  { name: 'a key too much', recorded: {}, ours: { cores: 1 }, differ: ['.cores'] },
  { name: 'statistics', recorded: { cpu: 0.5 }, ours: { cpu: 0 }, differ: [] },
  { name: 'statistics of another kind', recorded: { cpu: 0.5 }, ours: { cpu: null }, differ: ['.cpu'] },
  { name: 'a time nearby', recorded: { starttime: 100 }, ours: { starttime: 103 }, differ: [] },
  { name: 'a time far off', recorded: { starttime: 100 }, ours: { starttime: 200 }, differ: ['.starttime'] },
  { name: 'order of a content list', recorded: { content: 'a,b' }, ours: { content: 'b,a' }, differ: [] },
  {
    name: 'order of things with names',
    recorded: [{ vmid: 1 }, { vmid: 2 }],
    ours: [{ vmid: 2 }, { vmid: 1 }],
    differ: [],
  },
  { name: 'a thing too much', recorded: [{ vmid: 1 }], ours: [{ vmid: 1 }, { vmid: 2 }], differ: ['[2]'] },
  {
    name: 'order of log lines',
    path: '/nodes/pve1/tasks/x/log',
    recorded: [
      { n: 1, t: 'a' },
      { n: 2, t: 'b' },
    ],
    ours: [
      { n: 1, t: 'b' },
      { n: 2, t: 'a' },
    ],
    differ: ['[0].t', '[1].t'],
  },
];

describe('what may differ', () => {
  for (const { name, path = '/nodes/pve1/lxc/101/config', recorded, ours, differ } of rows)
    test(name, () => {
      const found = differences(path, recorded, ours, createNames());
      assert.deepEqual(
        found.map(({ at }) => at),
        differ,
      );
    });

  test('a made-up MAC is learned, a given one must come back', () => {
    const names = createNames();
    const text = (mac: string): string => `name=eth0,hwaddr=${mac}`;
    assert.ok(sameText(text('BC:24:11:00:00:01'), text('BC:24:11:00:00:02'), names));
    assert.equal(translate(text('BC:24:11:00:00:01'), names), text('BC:24:11:00:00:02'));
    names.given.add('BC:24:11:00:00:09');
    assert.ok(!sameText(text('BC:24:11:00:00:09'), text('BC:24:11:00:00:0A'), names));
  });

  test('one recorded task is one task of ours', () => {
    const names = createNames();
    const upid = (pid: string): string => `UPID:pve1:${pid}:00000001:6955B900:vzstart:101:a@pve!t:`;
    assert.ok(sameText(upid('0000000A'), upid('0000000B'), names));
    assert.ok(!sameText(upid('0000000A'), upid('0000000C'), names));
  });

  test('options of a vzdump job have no order, other lines do', () => {
    const job = 'INFO: starting new backup job: vzdump 100';
    assert.equal(tidy(`${job} --mode stop --node pve1`), tidy(`${job} --node pve1 --mode stop`));
    assert.notEqual(tidy('INFO: a --b --c'), tidy('INFO: a --c --b'));
  });
});
