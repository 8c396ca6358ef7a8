/** Where a stage lies on disk, and the files that a host would have in /etc/felhom. Secrets are readable by their owner only. */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { AgentConfig, HostPolicy } from '@felhom/agent';

export interface Place {
  readonly folder: string;
  readonly state: string;
  readonly disk: string;
  readonly agentConfig: string;
  readonly policy: string;
  /** Whose signatures count on this host. */
  readonly trust: string;
  /** Homes of the people who sign. */
  readonly people: string;
  readonly token: string;
  readonly hubKey: string;
  readonly nodeCa: string;
  readonly hubCa: string;
  readonly desired: string;
  readonly agentLog: string;
  /** What stands for the kernel's view of neighbours, bridges and cgroups. */
  readonly kernel: {
    readonly arp: string;
    readonly net: string;
    readonly cgroup: string;
    readonly proc: string;
    readonly sys: string;
    readonly run: string;
    readonly mounts: string;
  };
  /** The targets that root declared. */
  readonly storage: string;
  /** Logs of the programs in guests. */
  readonly guests: string;
  /** Sockets lie elsewhere: their paths may have 107 bytes and no more (unix(7)). */
  readonly sockets: string;
  readonly adminSocket: string;
  readonly controlSocket: string;
}

export const labRoot = resolve(import.meta.dirname, '../../../../.lab');

const mark = '.felhom-stage';

/** Creates the folder, empty. Refuses to empty a folder that no stage made. */
export function preparePlace(folder: string): Place {
  if (existsSync(folder)) {
    if (readdirSync(folder).length > 0 && !existsSync(join(folder, mark)))
      throw new Error(`cannot set a stage in ${folder}: it is not empty and no stage made it; choose another folder`);
    rmSync(folder, { recursive: true });
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, mark), 'Made by the lab; emptied whenever a stage is set here.\n');
  const sockets = mkdtempSync(join(tmpdir(), 'felhom-lab-'));
  const state = join(folder, 'state');
  for (const made of ['proc/self', 'sys/dev/block', 'run/udev/data', 'mounts'])
    mkdirSync(join(folder, 'kernel', made), { recursive: true });
  writeFileSync(join(folder, 'kernel/proc/self/mountinfo'), '');
  mkdirSync(state, { mode: 0o700 });
  return {
    folder,
    state,
    disk: join(folder, 'node'),
    agentConfig: join(folder, 'agent.yaml'),
    policy: join(folder, 'policy.yaml'),
    trust: join(folder, 'trust.json'),
    people: join(folder, 'people'),
    token: join(folder, 'proxmox.token'),
    hubKey: join(folder, 'hub.key'),
    nodeCa: join(folder, 'node-ca.pem'),
    hubCa: join(folder, 'hub-ca.pem'),
    desired: join(folder, 'desired.yaml'),
    agentLog: join(folder, 'agent.log'),
    kernel: {
      arp: join(folder, 'kernel/arp'),
      net: join(folder, 'kernel/net'),
      cgroup: join(folder, 'kernel/cgroup'),
      proc: join(folder, 'kernel/proc'),
      sys: join(folder, 'kernel/sys'),
      run: join(folder, 'kernel/run'),
      mounts: join(folder, 'kernel/mounts'),
    },
    storage: join(folder, 'storage.json'),
    guests: join(folder, 'guests'),
    sockets,
    adminSocket: join(sockets, 'agent.sock'),
    controlSocket: join(sockets, 'helper.sock'),
  };
}

export function writeSecret(file: string, secret: string): void {
  writeFileSync(file, `${secret}\n`, { mode: 0o600 });
}

/** JSON is YAML too. */
export function writeDocument(file: string, document: AgentConfigInput | HostPolicy | Record<string, unknown>): void {
  writeFileSync(file, `${JSON.stringify(document, undefined, 2)}\n`, { mode: 0o600 });
}
type AgentConfigInput = Omit<AgentConfig, 'reconcile' | 'kernel'> & Partial<Pick<AgentConfig, 'reconcile' | 'kernel'>>;

/** The policy with the true digests of the archives as they lie on disk. */
export function withTrueDigests(policy: HostPolicy, diskFolder: string): HostPolicy {
  const goldens = Object.entries(policy.goldens).map(([id, golden]) => {
    const name = golden.archive.slice(golden.archive.lastIndexOf('/') + 1);
    const file = readdirSync(diskFolder, { recursive: true, encoding: 'utf8' }).find((one) => one.endsWith(name));
    if (file === undefined) throw new Error(`cannot find the archive of golden ${id}: ${name}`);
    const path = join(diskFolder, file);
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex') as typeof golden.sha256;
    return [id, { ...golden, sizeBytes: statSync(path).size, sha256 }] as const;
  });
  return { ...policy, goldens: Object.fromEntries(goldens) };
}
