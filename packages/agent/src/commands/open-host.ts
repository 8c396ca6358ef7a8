/** Turns a configuration into an agent with the real adapters. The only place that builds them. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { reason } from '@felhom/protocol';
import type { Reason, Report } from '@felhom/protocol';
import { createAgent } from '../agent.ts';
import type { Agent } from '../agent-parts.ts';
import { loadFile, loadSecret } from '../adapters/config-file/index.ts';
import { createDesiredFile } from '../adapters/desired-file/index.ts';
import { createHelperCommand, noHelper } from '../adapters/helper-command/index.ts';
import type { HelperFence } from '../adapters/helper-command/index.ts';
import { createHelperSocket } from '../adapters/helper-socket/index.ts';
import { createHubHttps } from '../adapters/hub-https/index.ts';
import type { ServerTrust } from '../adapters/hub-https/index.ts';
import { createCgroupWitness } from '../adapters/cgroup-witness/index.ts';
import { createPveClient, createPveHttps, tokenShape } from '../adapters/pve-http/index.ts';
import type { PveClient } from '../adapters/pve-http/index.ts';
import { openHostKey } from '../adapters/host-key-file/index.ts';
import { createManifestFile } from '../adapters/storage-manifest-file/index.ts';
import { openJournal } from '../adapters/sqlite-journal/index.ts';
import { createSshKeygenVerifier } from '../adapters/ssh-keygen/index.ts';
import { createTrustFile } from '../adapters/trust-file/index.ts';
import type { AgentConfig, RootHelper, Trust } from '../config.ts';
import type { DesiredSource } from '../desired-source.ts';
import { examine } from '../doctor/index.ts';
import type { CheckResult } from '../doctor/index.ts';
import { hostPolicy } from '../host-policy.ts';
import type { HostPolicy } from '../host-policy.ts';
import { foldSaga, noCrashPoints } from '../kernel/index.ts';
import type { Clock, Journal, Random } from '../kernel/index.ts';
import { checkHost } from '../node-check/index.ts';
import type { NodeCheck } from '../node-check/index.ts';
import type { HostHelper } from '../ports/host-helper.ts';
import type { RootChecks } from '../ports/root-checks.ts';
import type { SignedHelper } from '../ports/signed-helper.ts';
import type { StorageHelper } from '../ports/storage-helper.ts';
import type { Log } from '../ports/log.ts';
import { withTargets } from '../storage/index.ts';
import type { LocalContact } from '../protection/index.ts';
import { versionIn } from '../version.ts';
import { hostFactsOf, monitoringPorts, storageDevicesOf } from './host-ports.ts';
import type { SeenCertificates } from './host-ports.ts';
import { declaredStorage } from './declared-storage.ts';
import { hostKeyDirectory } from './locations.ts';

export interface OpenHost {
  readonly agent: Agent;
  describeSource(): string;
  examine(signal: AbortSignal): Promise<readonly CheckResult[]>;
  journalView(limit: number): readonly JournaledSaga[];
  close(): Promise<void>;
}

/** One saga as `felhom-agent journal` shows it. */
export interface JournaledSaga {
  readonly id: string;
  readonly name: string;
  readonly startedAt: number;
  readonly lastAt: number;
  readonly end: string;
  readonly why: Reason | undefined;
}

interface World {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onHalt: (why: Reason) => void;
  readonly localContact: () => LocalContact | undefined;
}

export type Opened = { readonly is: 'open'; readonly host: OpenHost } | { readonly is: 'bad'; readonly why: Reason };

/** The node behind a configuration, and what root wrote about it: all that needs neither journal nor hub. */
interface HostNode {
  readonly proxmox: PveClient;
  readonly helper: (HostHelper & StorageHelper & RootChecks) | undefined;
  readonly signedHelper: SignedHelper | undefined;
  readonly tokenId: string;
  /** As it was when the node was opened. */
  readonly policy: HostPolicy;
  /** As it is now; `undefined` while the file does not read. */
  readonly policyFile: () => HostPolicy | undefined;
  readonly certificates: SeenCertificates;
}

function openNode(config: AgentConfig, clock: Clock, fence?: Fencing): Result<HostNode> {
  const policyFile = watchPolicy(config.policyFile);
  const policy = policyFile();
  // The node's name is in it, so there is no adapter without one.
  if (policy === undefined) {
    const loaded = loadFile(config.policyFile, hostPolicy);
    return {
      is: 'bad',
      why: loaded.is === 'bad' ? loaded.why : reason('config.invalid', `cannot use ${config.policyFile}`),
    };
  }
  const token = loadSecret(config.proxmox.tokenFile);
  if (token.is === 'bad') return token;
  // The part before the secret is shown to people, so it must be certain where the secret begins.
  if (!tokenShape.test(token.value))
    return {
      is: 'bad',
      why: reason(
        'config.invalid',
        `cannot use ${config.proxmox.tokenFile}: it is not one line USER@REALM!TOKENID=SECRET`,
      ),
    };
  const trust = loadTrust(config.proxmox.trust);
  if (trust.is === 'bad') return trust;
  const certificates: SeenCertificates = { proxmox: undefined, hub: undefined };
  const proxmox = createPveClient({
    transport: createPveHttps({
      url: config.proxmox.url,
      trust: trust.value,
      now: () => clock.now(),
      certificateSeen: (endsAt) => {
        certificates.proxmox = endsAt;
      },
    }),
    node: policy.node,
    token: token.value,
    clock,
  });
  const helper = config.helper === undefined ? undefined : openHelper(config.helper, clock, fence);
  const signedHelper = config.signedHelper === undefined ? helper : openHelper(config.signedHelper, clock, fence);
  const tokenId = token.value.slice(0, token.value.indexOf('='));
  return { is: 'loaded', value: { proxmox, helper, signedHelper, tokenId, policy, policyFile, certificates } };
}

type Fencing = () => HelperFence | undefined;

function openHelper(
  way: RootHelper,
  clock: Clock,
  fence?: Fencing,
): HostHelper & SignedHelper & StorageHelper & RootChecks {
  const times = { clock, ...(fence === undefined ? {} : { fence }) };
  return 'socket' in way ? createHelperSocket({ ...way, ...times }) : createHelperCommand({ ...way, ...times });
}

/**
 * The doctor without a running agent, for when it does not start. Opens neither journal nor hub, so it can do no harm
 * beside an agent that runs after all.
 */
export async function examineAlone(
  config: AgentConfig,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly CheckResult[]> {
  const node = openNode(config, clock);
  if (node.is === 'bad') return [{ check: 'configuration', verdict: 'failed', text: node.why.text }];
  const { proxmox, helper, signedHelper, policy, tokenId } = node.value;
  try {
    const nodeCheck = (abort: AbortSignal): Promise<NodeCheck> =>
      checkHost({ facts: proxmox.facts, packages: proxmox.facts }, withDeclared(config, policy), tokenId, abort);
    const { facts, stores } = proxmox;
    return await examine(
      {
        clock,
        policy,
        node: facts,
        stores,
        helper,
        signedHelper,
        nodeCheck,
        login: proxmox.login,
        ...rootParts(config, helper, tokenId),
        host: hostOf(config, clock),
      },
      signal,
    );
  } finally {
    await proxmox.close();
  }
}

/** Throws `JournalError` when the state directory cannot be used. */
export function openHost(config: AgentConfig, world: World): Opened {
  // Root is asked by whoever holds the journal, and tells by it whether it was overtaken [R49].
  const held: { journal?: Journal } = {};
  const node = openNode(config, world.clock, () =>
    held.journal === undefined ? undefined : { epoch: held.journal.hostEpoch, opening: held.journal.epoch },
  );
  if (node.is === 'bad') return node;
  const { proxmox, helper, signedHelper, tokenId, policy, policyFile } = node.value;
  const source = openSourceOf(config, world.clock, node.value.certificates);
  if (source.is === 'bad') return source;
  const journal = openJournal({ directory: config.stateDirectory, clock: world.clock, random: world.random });
  held.journal = journal;
  // After the journal, which proves that the state directory is this agent's alone.
  const hostKey = openHostKey(hostKeyDirectory(config), world.random);
  if (hostKey.is === 'bad') {
    journal.close();
    return hostKey;
  }
  let agent: Agent;
  try {
    agent = createAgent({
      host: config.host,
      version: versionIn(import.meta.dirname),
      journal,
      crashPoints: noCrashPoints,
      clock: world.clock,
      random: world.random,
      log: world.log,
      proxmox,
      tokenId,
      helper: helper ?? noHelper(),
      witness: createCgroupWitness(config.kernel.cgroup),
      storage: {
        devices: storageDevicesOf(config),
        manifest: manifestOf(config),
        helper: node.value.helper ?? noHelper(),
        mountRoot: config.kernel.mounts,
      },
      monitoring: monitoringPorts(config, world, {
        proxmox,
        helper: node.value.helper,
        certificates: node.value.certificates,
      }),
      timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      localContact: world.localContact,
      signedHelper: signedHelper ?? noHelper(),
      hostKey: hostKey.value,
      verifier: createSshKeygenVerifier({ directory: join(config.stateDirectory, 'verify'), clock: world.clock }),
      trustStore: createTrustFile(config.trustFile, { ownerUids: [config.trustOwner] }),
      policy: policyFile,
      source: source.value.source,
      reconcile: {
        intervalMs: config.reconcile.everySeconds * 1000,
        pauseMs: Math.min(1000, config.reconcile.everySeconds * 1000),
      },
      onHalt: world.onHalt,
    });
  } catch (error) {
    journal.close();
    throw error;
  }
  return {
    is: 'open',
    host: {
      agent,
      describeSource: () => source.value.text,
      examine: async (signal) => {
        const loaded = loadFile(config.policyFile, hostPolicy);
        const answers = await examine(
          {
            clock: world.clock,
            policy: policyFile() ?? policy,
            node: proxmox.facts,
            stores: proxmox.stores,
            helper,
            signedHelper,
            nodeCheck: (abort) => agent.checkNode(abort),
            login: proxmox.login,
            ...rootParts(config, helper, tokenId),
            host: hostOf(config, world.clock),
          },
          signal,
        );
        const checks = [...answers, ...targetChecks(agent.report().targets)];
        if (loaded.is === 'loaded') return checks;
        const advice = 'mend the file as root; nothing is changed until it reads, and it is read again by itself';
        return [{ check: 'policy', verdict: 'failed', text: loaded.why.text, advice }, ...checks];
      },
      journalView: (limit) => viewJournal(journal, limit),
      close: async () => {
        await source.value.close();
        await proxmox.close();
        journal.close();
      },
    },
  };
}

const hostOf = (config: AgentConfig, clock: Clock) => (config.watchHost ? hostFactsOf(config, clock) : undefined);

const manifestOf = (config: AgentConfig) => createManifestFile(config.storageFile, { ownerUids: [config.trustOwner] });

/** The policy as the agent itself uses it: with the declared targets in it. */
function withDeclared(config: AgentConfig, policy: HostPolicy): HostPolicy {
  const read = manifestOf(config)();
  return read.is === 'held' ? withTargets(policy, read.manifest) : policy;
}

const rootParts = (config: AgentConfig, rootChecks: RootChecks | undefined, tokenId: string) => ({
  rootChecks,
  tokenId,
  declared: () => declaredStorage(manifestOf(config)(), config.kernel.mounts),
});

/** One line per target that root declared. */
function targetChecks(targets: Report['targets']): readonly CheckResult[] {
  return targets.map(({ name, state, why }) => {
    const check = `storage target ${name}`;
    return state === 'disconnected'
      ? { check, verdict: 'warning', text: why, advice: 'felhom-agent status says since when and what to do' }
      : { check, verdict: 'ok', text: state };
  });
}

type Result<T> = { readonly is: 'loaded'; readonly value: T } | { readonly is: 'bad'; readonly why: Reason };

function loadTrust(trust: Trust): Result<ServerTrust> {
  if ('spkiSha256' in trust) return { is: 'loaded', value: trust };
  try {
    return { is: 'loaded', value: { ca: readFileSync(trust.caFile, 'utf8') } };
  } catch (error) {
    return { is: 'bad', why: reason('config.unreadable', `cannot read ${trust.caFile}: ${(error as Error).message}`) };
  }
}

interface BuiltSource {
  readonly source: DesiredSource;
  readonly text: string;
  close(): Promise<void>;
}

function openSourceOf(config: AgentConfig, clock: Clock, certificates: SeenCertificates): Result<BuiltSource> {
  const { desired } = config;
  if ('file' in desired)
    return {
      is: 'loaded',
      value: {
        source: { is: 'file', open: (store) => createDesiredFile(desired.file, store, () => clock.now()) },
        text: `file ${desired.file}`,
        close: () => Promise.resolve(),
      },
    };
  const key = loadSecret(desired.hub.keyFile);
  if (key.is === 'bad') return key;
  const trust = loadTrust(desired.hub.trust);
  if (trust.is === 'bad') return trust;
  const hub = createHubHttps({
    url: desired.hub.url,
    apiKey: key.value,
    trust: trust.value,
    now: () => clock.now(),
    certificateSeen: (endsAt) => {
      certificates.hub = endsAt;
    },
  });
  return {
    is: 'loaded',
    value: { source: { is: 'hub', hub }, text: `hub ${new URL(desired.hub.url).origin}`, close: () => hub.close() },
  };
}

/** Reads the file again when it changed. A change that does not read suspends the policy, and so every mutation. */
function watchPolicy(file: string): () => HostPolicy | undefined {
  let stamp = '';
  let policy: HostPolicy | undefined;
  return () => {
    const now = stampOf(file);
    if (now === stamp) return policy;
    stamp = now;
    const loaded = loadFile(file, hostPolicy);
    policy = loaded.is === 'loaded' ? loaded.value : undefined;
    return policy;
  };
}

function stampOf(file: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(file);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    // Gone, perhaps only while somebody replaces it; or out of reach.
    return 'absent';
  }
}

function viewJournal(journal: Journal, limit: number): readonly JournaledSaga[] {
  return journal.recentSagas(limit).flatMap((id): JournaledSaga[] => {
    const saga = foldSaga(journal.recordsOf(id));
    if (saga === undefined) return [];
    const why = saga.parked?.why ?? (saga.end?.is === 'unwound' ? saga.end.why : undefined);
    return [
      {
        id,
        name: saga.name,
        startedAt: saga.startedAt,
        lastAt: saga.lastAt,
        end: saga.parked === undefined ? (saga.end?.is ?? 'open') : 'parked',
        why,
      },
    ];
  });
}
