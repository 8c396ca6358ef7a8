import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding, Report } from '@felhom/protocol';
import type { LocalFacts } from '../ports/supervisor.ts';
import { factsDegraded, localFacts } from './local-facts.ts';

const finding = (key: string, subject = 'host'): Finding => ({
  key,
  subject,
  severity: 'warning',
  text: 'x',
  advice: { text: 'x' },
  since: 1,
});
const well: Pick<Report, 'versions' | 'lastPassAt' | 'findings'> = {
  versions: { agent: '0.1.0', node: '26', proxmox: '9.1' },
  lastPassAt: 5,
  findings: [],
};

const rows: readonly (readonly [string, Partial<typeof well>, Partial<LocalFacts>])[] = [
  ['well', {}, {}],
  [
    'before the first look',
    { versions: { agent: '0.1.0', node: '26' }, lastPassAt: undefined },
    { proxmox: 'unknown', hub: 'unknown' },
  ],
  ['Proxmox does not answer', { versions: { agent: '0.1.0', node: '26' } }, { proxmox: 'no' }],
  [
    'the first pass broke off',
    { lastPassAt: undefined, findings: [finding('host.pass-failed')] },
    { proxmox: 'no', hub: 'unknown' },
  ],
  ['passes break off', { findings: [finding('host.pass-failed')] }, { proxmox: 'no' }],
  ['the policy does not read', { findings: [finding('host.policy')] }, { config: 'no' }],
  ['the hub does not answer', { findings: [finding('hub.unreachable', 'hub')] }, { hub: 'no' }],
  ['what else is wrong is no reason', { findings: [finding('host.disk-full'), finding('tunnel.down', 'tunnel')] }, {}],
];

for (const [name, report, differs] of rows)
  test(`facts: ${name}`, () => {
    const usual: LocalFacts = { config: 'ok', journal: 'ok', proxmox: 'ok', localApi: 'ok', hub: 'ok' };
    assert.deepEqual(localFacts({ ...well, ...report }, true, 'ok'), { ...usual, ...differs });
  });

test('what a host does not have is told as such', () => {
  assert.deepEqual([localFacts(well, false, 'off').hub, localFacts(well, false, 'off').localApi], ['off', 'off']);
});

test('an agent that cannot begin says whether it is its journal', () => {
  assert.deepEqual([factsDegraded('journal.damaged').journal, factsDegraded('journal.damaged').config], ['no', 'ok']);
  assert.deepEqual(
    [factsDegraded('config.invalid').journal, factsDegraded('config.invalid').config],
    ['unknown', 'no'],
  );
});
