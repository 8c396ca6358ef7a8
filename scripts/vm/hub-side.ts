/** Hub and Proxmox for the agent in the VM, in this process: the real hub, and the lab's node. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as wait } from 'node:timers/promises';
import { openStage } from '../../packages/lab/src/index.ts';
import type { Stage, StageOptions } from '../../packages/lab/src/index.ts';
import { entryOf } from '../../packages/agent/src/storage-entry.ts';
import { mountPathOf } from '../../packages/agent/src/storage-manifest.ts';
import type { StorageManifest } from '../../packages/agent/src/storage-manifest.ts';
import type { Machine } from './machine.ts';
import { declarationsOf } from './targets.ts';
import type { TestTarget } from './targets.ts';

export interface ToldTarget {
  readonly name: string;
  readonly state: string;
  readonly why: string;
}

export interface HubSide {
  readonly stage: Stage;
  /** What the newest report that the hub has says of a target. */
  told(name: string): ToldTarget | undefined;
  /** Waits until the hub has that; resolves with when, by `performance.now()`. Throws with what it has after `seconds`. */
  untilTold(name: string, state: string, seconds: number, why?: RegExp): Promise<number>;
  close(): Promise<void>;
}

const lookEveryMs = 3;

const declarationsAs = (targets: readonly TestTarget[]): StorageManifest['targets'] =>
  (JSON.parse(declarationsOf(targets, true)) as StorageManifest).targets;

export async function openHubSide(
  targets: readonly TestTarget[],
  options: Partial<StageOptions> = {},
): Promise<HubSide> {
  const folder = mkdtempSync(join(tmpdir(), 'felhom-hub-side-'));
  const stage = await openStage({ folder, lifeless: true, ...options });
  const asRoot = async (method: 'POST' | 'PUT', path: string, params: Record<string, unknown>): Promise<void> => {
    const { status, reason } = (await stage.pve.node.handle({ method, path, params, as: 'root@pam' })) as {
      readonly status: number;
      readonly reason?: string;
    };
    if (status !== 200) throw new Error(`cannot prepare the node of the lab: ${path}: ${reason ?? status}`);
  };
  for (const declared of declarationsAs(targets)) {
    const { name } = declared.target;
    const path = mountPathOf(name);
    // The node of the lab has disks of its own; of these it only knows that they are there.
    stage.pve.node.storage.hardware.add({ id: name, capacityBytes: 2 ** 34 });
    stage.pve.node.storage.hardware.mount(path, name);
    await asRoot('POST', '/storage', { storage: name, ...entryOf(declared, stage.policy.node) });
    const [users] = stage.pve.tokenId.split('!');
    await asRoot('PUT', '/access/acl', { path: `/storage/${name}`, roles: 'FelhomStore', users, propagate: 0 });
  }
  const db = new DatabaseSync(stage.hub.databaseFile, { readOnly: true });
  const newest = db.prepare('SELECT report_text AS text FROM host');
  let last: { readonly text: string; readonly targets: readonly ToldTarget[] } = { text: '', targets: [] };
  const told: HubSide['told'] = (name) => {
    const text = newest.get()?.['text'];
    if (typeof text === 'string' && text !== last.text)
      last = { text, targets: (JSON.parse(text) as { readonly targets?: readonly ToldTarget[] }).targets ?? [] };
    return last.targets.find((target) => target.name === name);
  };
  return {
    stage,
    told,
    async untilTold(name, state, seconds, why) {
      const end = performance.now() + seconds * 1000;
      for (;;) {
        const now = told(name);
        if (now?.state === state && (why === undefined || why.test(now.why))) return performance.now();
        if (performance.now() > end)
          throw new Error(
            `the hub was not told that ${name} is ${state} in ${seconds} s; it has ${JSON.stringify(now)}`,
          );
        await wait(lookEveryMs);
      }
    },
    async close() {
      db.close();
      await stage.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Gives the VM the files of a host that this hub and this node know. Its agent has to be started anew. */
export async function configureVm(vm: Machine, { stage }: HubSide, manifest: string): Promise<void> {
  const { place, server, hub, policy } = stage;
  for (const url of [server.url, hub.url]) await vm.reach(Number(new URL(url).port));
  const credential = (name: string): string => `/run/credentials/felhom-agent.service/${name}`;
  const files: readonly (readonly [string, string, string])[] = [
    ['token', readFileSync(place.token, 'utf8'), '600'],
    ['hub.key', readFileSync(place.hubKey, 'utf8'), '600'],
    ['node-ca.pem', readFileSync(place.nodeCa, 'utf8'), '644'],
    ['hub-ca.pem', readFileSync(place.hubCa, 'utf8'), '644'],
    ['policy.yaml', JSON.stringify(policy), '644'],
    ['storage.json', manifest, '644'],
    [
      'agent.yaml',
      JSON.stringify({
        v: 1,
        host: 'lab',
        proxmox: {
          url: server.url,
          tokenFile: credential('proxmox-token'),
          trust: { caFile: '/etc/felhom/node-ca.pem' },
        },
        desired: { hub: { url: hub.url, keyFile: credential('hub-key'), trust: { caFile: '/etc/felhom/hub-ca.pem' } } },
        helper: { socket: '/run/felhom-root/helper.sock' },
        reconcile: { everySeconds: 60 },
      }),
      '644',
    ],
  ];
  for (const [name, text, mode] of files)
    await vm.must(`install -m ${mode} /dev/null /etc/felhom/${name} && cat > /etc/felhom/${name}`, { input: text });
}
