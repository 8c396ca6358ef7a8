import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReportedTunnel } from '@felhom/protocol';
import { findingsOfTunnel, judgeIngress, judgeTunnel, noTunnelMemory, showTunnel, tunnelUnit } from './judge-tunnel.ts';
import type { TunnelLook } from './judge-tunnel.ts';
import { unit } from './test/looks.ts';

const running = unit(tunnelUnit);
const look = (change: Partial<TunnelLook>): TunnelLook => ({
  unit: running,
  declared: true,
  connections: 0,
  hubReached: undefined,
  namesResolve: undefined,
  ...change,
});

const rows: readonly [name: string, look: TunnelLook, want: ReportedTunnel['is'], why?: RegExp][] = [
  ['connected', look({ connections: 4 }), 'up'],
  ['connected, whatever the hub does', look({ connections: 1, hubReached: false, namesResolve: false }), 'up'],
  ['no such unit', look({ unit: unit(tunnelUnit, { load: 'not-found', active: 'inactive', file: '' }) }), 'none'],
  ['turned off', look({ unit: unit(tunnelUnit, { active: 'inactive', file: 'disabled' }) }), 'none'],
  ['stopped by somebody', look({ unit: unit(tunnelUnit, { active: 'inactive' }) }), 'down', /was stopped/],
  [
    'failed',
    look({ unit: unit(tunnelUnit, { active: 'failed', result: 'exit-code' }) }),
    'down',
    /failed \(exit-code\)/,
  ],
  [
    'systemd gave up',
    look({ unit: unit(tunnelUnit, { active: 'failed', result: 'start-limit-hit' }), namesResolve: false }),
    'down',
    /gave up/,
  ],
  ['the hub is reached, the edge is not', look({ hubReached: true }), 'down', /while the internet is there/],
  ['a name is answered, the hub is down itself', look({ hubReached: false, namesResolve: true }), 'down'],
  ['neither', look({ hubReached: false, namesResolve: false }), 'no-internet', /neither/],
  ['no hub to ask, and no name', look({ namesResolve: false }), 'no-internet'],
  ['no hub to ask, a name', look({ namesResolve: true }), 'down'],
  ['only the hub is away: it may be the hub', look({ hubReached: false }), 'unknown'],
  ['nobody was asked', look({}), 'unknown'],
  ['it does not answer on its port', look({ connections: undefined, hubReached: true }), 'unknown', /own port/],
  [
    'it does not answer, and there is no internet',
    look({ connections: undefined, namesResolve: false }),
    'no-internet',
  ],
  [
    'it restarts and never connects',
    look({ unit: unit(tunnelUnit, { active: 'activating' }), connections: undefined, hubReached: true }),
    'down',
  ],
  [
    'nothing declared, so systemd does not start it',
    look({ unit: unit(tunnelUnit, { active: 'inactive' }), declared: false, connections: undefined }),
    'none',
  ],
  ['systemd does not tell', look({ unit: undefined }), 'unknown'],
];
for (const [name, given, want, why] of rows)
  test(`tunnel: ${name} → ${want}`, () => {
    const verdict = judgeTunnel(given);
    assert.equal(verdict.is, want);
    if (why !== undefined) assert.match(verdict.why, why);
  });

test('bad news counts from the second look, good news at once, and since stays', () => {
  let memory = noTunnelMemory;
  let at = 0;
  const see = (is: ReportedTunnel['is'], why = 'because'): string => {
    at += 1;
    memory = showTunnel({ is, why }, memory, at);
    return 'since' in memory.shown ? `${memory.shown.is} since ${memory.shown.since}` : memory.shown.is;
  };
  // The very first look shows what it sees.
  assert.equal(see('down'), 'down since 1');
  assert.equal(see('down'), 'down since 1');
  assert.equal(see('up'), 'up since 3');
  assert.equal(see('down'), 'up since 3');
  assert.equal(see('up'), 'up since 3');
  assert.equal(see('down'), 'up since 3');
  assert.equal(see('no-internet'), 'up since 3', 'another one than before');
  assert.equal(see('no-internet'), 'no-internet since 8');
  assert.equal(see('down'), 'no-internet since 8');
  assert.equal(see('down'), 'down since 10');
  assert.equal(see('unknown'), 'down since 10');
  assert.equal(see('unknown'), 'unknown');
  assert.equal(see('none'), 'none');
});

test('a tunnel that is down and an internet that is down are two findings', () => {
  const keys = (shown: ReportedTunnel) => findingsOfTunnel(shown, 9).map(({ key, since }) => `${key} ${since}`);
  assert.deepEqual(keys({ is: 'none' }), []);
  assert.deepEqual(keys({ is: 'up', since: 1 }), []);
  assert.deepEqual(keys({ is: 'down', since: 1, why: 'x' }), ['tunnel.down 1']);
  assert.deepEqual(keys({ is: 'no-internet', since: 2, why: 'x' }), ['host.no-internet 2']);
  assert.deepEqual(keys({ is: 'unknown', why: 'x' }), ['tunnel.unknown 9']);
  assert.deepEqual(keys(noTunnelMemory.shown), []);
});

test('an ingress that the edge pushed is seen, whatever it opens', () => {
  const web = { hostname: 'photos.example', path: '', service: 'http://10.98.0.5:80' };
  const rest = { hostname: '', path: '', service: 'http_status:404' };
  const judge = (rules: (typeof web)[], privateNetworks = false) =>
    judgeIngress([web, rest], { rules, privateNetworks }, 1).map(({ severity, text }) => `${severity} ${text}`);
  assert.deepEqual(judge([web, rest]), []);
  assert.deepEqual(judge([{ ...web, hostname: 'PHOTOS.example' }, rest]), []);
  assert.match(
    judge([web, { ...web, service: 'ssh://localhost:22' }, rest])[0] ?? '',
    /^critical .*ssh:\/\/localhost:22/,
  );
  assert.match(judge([web, { ...web, path: '/admin' }, rest])[0] ?? '', /^critical/);
  assert.match(judge([rest])[0] ?? '', /^warning .*does not let in photos\.example/);
  assert.match(judge([web, rest], true)[0] ?? '', /^critical .*whole networks/);
  const many = Array.from({ length: 50 }, (_, at) => ({ ...web, service: `http://10.0.0.${at}:${'9'.repeat(300)}` }));
  assert.ok((judge(many)[0]?.length ?? 0) < 1010);
});
