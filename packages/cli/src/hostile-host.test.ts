import assert from 'node:assert/strict';
import { test } from 'node:test';
import { desiredState, hostSummary } from '@felhom/protocol';
import { createStyle } from '@felhom/terminal';
import { renderHosts } from './commands/hosts.ts';
import { diffDesired } from './desired-diff.ts';
import { renderDiff } from './render-diff.ts';

const hostile = '\u001b[2J\u001b]52;c;aGk=\u0007\r\nforged';
const colour = createStyle(true);
/** Only the colours of the program itself may be left. */
// oxlint-disable-next-line no-control-regex
const unpainted = (text: string) => text.replace(/\u001b\[\d+m/g, '');

test('the version that an agent claims neither moves the cursor nor forges a line', () => {
  const host = hostSummary.parse({
    hostId: 'alpha',
    state: 'ok',
    createdAt: 1,
    agentVersion: hostile,
    guests: { total: 0, running: 0, drifted: 0 },
    sagas: 0,
    parked: 0,
    findings: { total: 0, worst: 'none' },
    blocked: 0,
    converged: true,
    hold: false,
  });
  const text = unpainted(renderHosts([host], 1, colour));
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f]/);
  assert.equal(text.split('\n').length, 3);
});

test('a label in the copy that a host holds neither moves the cursor nor forges a line of the diff', () => {
  const guestsOf = (label: string) =>
    desiredState.parse({
      v: 1,
      lineage: 'a'.repeat(26),
      generation: 1,
      guests: [
        {
          name: 'web',
          golden: 'debian-13',
          hostname: 'web',
          cores: 1,
          memoryMiB: 512,
          rootfs: { storage: 'local', sizeGiB: 4 },
          networks: [{ name: 'eth0', bridge: 'vmbr0', ipv4: 'dhcp' }],
          label,
        },
      ],
    }).guests;
  const text = unpainted(renderDiff(diffDesired(guestsOf(hostile), guestsOf('')), colour));
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f]/);
  assert.doesNotMatch(text, /^\s*forged/m);
});
