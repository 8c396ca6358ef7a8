/** A host for root's program in a folder: whoever runs the test is root there, and a script is systemd. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TrustDocument } from '@felhom/protocol';
import { systemClock } from '../src/adapters/system-clock/index.ts';
import { createSystemctl } from '../src/adapters/systemctl/index.ts';
import type { RootWorld } from '../src/commands/root-verb.ts';
import { makeStorageHost } from '../src/root-verbs/storage/test/storage-host.ts';
import { writeTrustText } from '../src/trust/index.ts';
import { madeUpNode } from './made-up-node.ts';

/** Units that run are files; nothing but what break-glass asks for. */
const systemctl = `#!/bin/sh
cd "$(dirname "$0")/active" || exit 9
verb=$1
shift
case "$verb" in
start) touch "$@" ;;
stop) rm -f "$@" ;;
is-active) for unit; do if [ -e "$unit" ]; then echo active; else echo inactive; fi; done ;;
daemon-reload | reset-failed) ;;
*) exit 1 ;;
esac
`;

export function makeRootHost(folder: string, document: TrustDocument): void {
  for (const name of ['etc', 'run', 'units', 'active']) mkdirSync(join(folder, name), { mode: 0o755 });
  const place = (name: string, text: string, mode = 0o644): void => writeFileSync(join(folder, name), text, { mode });
  place('systemctl', systemctl, 0o755);
  place('etc/trust.json', writeTrustText(document));
  const tunnel = {
    id: 'dfed0ead-79e1-41cf-82b8-88ca8148a577',
    hostname: 'rescue.example.org',
    credentialsFile: '/etc/felhom/break-glass-tunnel.json',
  };
  place('etc/break-glass.json', JSON.stringify({ v: 1, tunnel }), 0o600);
  const policy = {
    v: 1,
    node: 'pve1',
    pool: 'felhom',
    vmids: { guests: { from: 9000, to: 9009 }, scratch: { from: 9800, to: 9809 } },
    bridges: ['vmbr0'],
    storages: ['local'],
    goldens: {},
    breakGlass: { maxMinutes: 45 },
  };
  place('etc/policy.yaml', JSON.stringify(policy));
}

const noTool = (): Promise<never> => Promise.reject(new Error('there is no such tool in this test'));

/** `now`: wall time, milliseconds since the epoch. */
export function rootIn(folder: string, now: number): RootWorld {
  const at = (name: string): string => join(folder, name);
  const uid = process.getuid?.() ?? 0;
  return {
    uid,
    rootUid: uid,
    places: {
      trust: at('etc/trust.json'),
      breakGlass: at('etc/break-glass.json'),
      policy: at('etc/policy.yaml'),
      state: at('state'),
      run: at('run/felhom-root'),
      breakGlassRun: at('run/break-glass'),
      units: at('units'),
      sys: at('sys'),
    },
    program: [],
    systemctl: createSystemctl({ program: at('systemctl') }),
    tools: {
      pvesm: noTool,
      perl: noTool,
      findmnt: noTool,
      dd: noTool,
      slowPerl: noTool,
      env: noTool,
      smartctl: noTool,
      loops: noTool,
      stat: noTool,
    },
    guests: madeUpNode(at('node')),
    storage: makeStorageHost(at('storage')).world,
    sshKeygen: 'ssh-keygen',
    clock: { ...systemClock(), now: () => now },
    turnWaitMs: 0,
  };
}
