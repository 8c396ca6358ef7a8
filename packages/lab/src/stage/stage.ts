/**
 * A stage: a fake node with real files behind HTTPS, the real hub behind HTTPS, and the files of a host, all in one
 * folder and on loopback. The agent is a process of its own that the stage starts and kills.
 */
import { randomInt } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { askAgent } from '@felhom/agent';
import type { AgentStatus, HostPolicy } from '@felhom/agent';
import { runFelhom, systemMachine } from '@felhom/cli';
import type { Machine } from '@felhom/cli';
import { signatureNamespaces } from '@felhom/protocol';
import type { HostId, Report } from '@felhom/protocol';
import { makeCertificates } from '../fake-pve/api/certificates.ts';
import { serve } from '../fake-pve/api/server.ts';
import type { Pace } from '../fake-pve/core.ts';
import { directoryMember, fileMember, FileDisk } from '../fake-pve/storage/index.ts';
import type { Member } from '../fake-pve/storage/index.ts';
import { runLabGuests } from '../guest/index.ts';
import type { LabGuests } from '../guest/index.ts';
import { enrolNode } from '../world/enrolled-node.ts';
import type { EnrolledNode } from '../world/enrolled-node.ts';
import { createAgentProcess, runAgentCommand } from './agent-process.ts';
import type { AgentProcess, CommandRun } from './agent-process.ts';
import { createAuthority } from './certificates.ts';
import type { Authority } from './certificates.ts';
import { openControlSocket } from './control-socket.ts';
import { openHubPlace } from './hub-place.ts';
import type { HubPlace } from './hub-place.ts';
import { findSshKeygen } from './openssh.ts';
import { makePeople } from './people.ts';
import type { StagePeople } from './people.ts';
import { preparePlace, withTrueDigests, writeDocument, writeSecret } from './place.ts';
import type { Place } from './place.ts';
import { openDisks } from './disks.ts';
import type { StageDisks } from './disks.ts';
import { createStageRoot, stageUid } from './root-verbs.ts';
import type { LabPerson } from '../world/people.ts';

export interface StageOptions {
  readonly folder: string;
  readonly pace?: Partial<Pace>;
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly guestRange?: number;
  /** Where the agent takes desired state from; the hub unless told. */
  readonly source?: 'hub' | 'file';
  /** Whether people with keys are there, and root has written down whose signatures count. Takes `ssh-keygen`. */
  readonly signed?: boolean;
  /** Guests are files and nothing runs in them. */
  readonly lifeless?: boolean;
  /** Merged over the agent's configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface Stage {
  readonly place: Place;
  readonly authority: Authority;
  readonly pve: EnrolledNode;
  /** Disks that can be pulled; none unless one is attached. */
  readonly disks: StageDisks;
  /** As written to the policy file. */
  readonly policy: HostPolicy;
  readonly server: {
    readonly url: string;
    /** HTTP requests that the node has seen. */
    readonly requests: () => number;
  };
  readonly hub: HubPlace;
  /** PEM of the hub's own certificate, for whoever pins it. */
  readonly hubCertificate: string;
  readonly agent: AgentProcess;
  /** Where the agent listens for guests, `address:port`. */
  readonly localApi: string;
  /** The programs in started guests; `undefined` on a stage without life. */
  readonly guests: LabGuests | undefined;
  /** What the agent says of itself; `undefined` when it does not answer. */
  status(): Promise<AgentStatus | undefined>;
  report(): Promise<Report | undefined>;
  /** Asks the agent for a pass now. */
  wake(): Promise<void>;
  /** Puts guests into the file of desired state. */
  writeDesired(guests: readonly unknown[]): void;
  /** The operator's command line, in this process, against the stage's hub. */
  felhom(argv: readonly string[], colour?: boolean): Promise<CommandRun>;
  /** The same as one of the people who sign: own home, own login, own key, own pins. */
  felhomAs(person: LabPerson, argv: readonly string[], colour?: boolean): Promise<CommandRun>;
  /** Text of an envelope into the host's mailbox, as whoever has a login at the hub can. */
  mail(envelope: string): Promise<void>;
  agentCommand(argv: readonly string[]): Promise<CommandRun>;
  writeConfig(changes?: Readonly<Record<string, unknown>>): void;
  writePolicy(policy: HostPolicy): void;
  /** Waits until the condition holds on real state; throws `NotReached` when it does not in time. */
  until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
}

export const labHost = 'lab' as HostId;
const lookEveryMs = 40;

/** A condition that a story waits for did not come true in time. */
export class NotReached extends Error {
  constructor(what: string, seconds: number, seen: string) {
    super(`waited ${seconds} s and it did not happen: ${what}\n${seen}`);
    this.name = 'NotReached';
  }
}

const realClock = {
  now: (): number => Date.now(),
  sleep: async (ms: number, signal?: AbortSignal): Promise<void> =>
    wait(ms, undefined, signal === undefined ? {} : { signal }),
};

export async function openStage(options: StageOptions): Promise<Stage> {
  const place = preparePlace(options.folder);
  const authority = createAuthority('felhom lab', Date.now());
  const nodeTls = await makeCertificates(realClock);
  writeFileSync(place.hubCa, authority.ca);
  writeFileSync(place.nodeCa, nodeTls.ca);
  const hubTls = authority.issue();
  const hub = await openHubPlace({ folder: place.folder, tls: hubTls, host: labHost });
  const people = options.signed === true ? await peopleOf(place, hub) : undefined;
  const pve = await enrolNode({
    clock: realClock,
    goldenFiles: releaseSignersOf(people),
    random: { int: (below) => randomInt(below) },
    disk: new FileDisk(place.disk),
    ...(options.pace === undefined ? {} : { pace: options.pace }),
    ...(options.policy === undefined ? {} : { policy: options.policy }),
    ...(options.guestRange === undefined ? {} : { guestRange: options.guestRange }),
  });
  let requests = 0;
  const counted: Parameters<typeof serve>[0] = {
    wire: (request) => {
      requests += 1;
      return pve.node.wire(request);
    },
  };
  const server = await serve(counted, { port: 0, cert: nodeTls.cert, key: nodeTls.key });
  const policy = withTrueDigests(pve.policy, place.disk);
  const disks = openDisks(place, pve, realClock);
  const root = createStageRoot({ place, policy, helper: pve.helper, disks });
  const control = await openControlSocket(place.controlSocket, root);
  const listen = localAddress();
  const localApi = `${listen.address}:${listen.port}`;
  const guests =
    options.lifeless === true
      ? undefined
      : runLabGuests({ node: pve.node, folder: place.guests, kernel: place.kernel, agent: () => localApi });
  const agent = createAgentProcess(place.agentConfig, place.agentLog);

  writeSecret(place.token, pve.token);
  writeSecret(place.hubKey, hub.hostKey);
  const writeConfig: Stage['writeConfig'] = (changes = {}) =>
    writeDocument(place.agentConfig, {
      v: 1,
      host: labHost,
      stateDirectory: place.state,
      policyFile: place.policy,
      trustFile: place.trust,
      trustOwner: stageUid,
      adminSocket: place.adminSocket,
      proxmox: { url: server.url, tokenFile: place.token, trust: { caFile: place.nodeCa } },
      desired:
        options.source === 'file'
          ? { file: place.desired }
          : { hub: { url: hub.url, keyFile: place.hubKey, trust: { caFile: place.hubCa } } },
      helper: {
        command: [
          process.execPath,
          '--disable-warning=ExperimentalWarning',
          resolve(import.meta.dirname, '../host-helper/main.ts'),
          place.controlSocket,
        ],
      },
      localApi: { listen },
      kernel: place.kernel,
      storageFile: place.storage,
      // The machine below is whatever a developer works on: its load is no fact of the lab.
      watchHost: false,
      reconcile: { everySeconds: 2 },
      ...options.config,
      ...changes,
    });
  writeConfig();
  writeDocument(place.policy, policy);

  const runAs = async (
    { home, token }: { readonly home: string; readonly token: string },
    argv: readonly string[],
    colour: boolean,
  ): Promise<CommandRun> => {
    let out = '';
    let err = '';
    const code = await runFelhom(
      argv,
      {
        stdout: { write: (text) => (out += text), isTTY: colour },
        stderr: { write: (text) => (err += text), isTTY: colour },
        env: {
          ...colourWishes(),
          FELHOM_HUB_URL: hub.url,
          FELHOM_TOKEN: token,
          FELHOM_CA_FILE: place.hubCa,
          XDG_CONFIG_HOME: home,
        },
        homeDirectory: home,
        readStdin: () => Promise.resolve(''),
        ask: () => Promise.resolve(undefined),
      },
      impatient,
    );
    return { code, out, err };
  };
  if (people !== undefined) await settle(place, people, runAs);

  const status: Stage['status'] = async () => {
    const answer = await askAgent(place.adminSocket, 'GET /v1/status');
    return answer.is === 'answered' ? (answer.body as AgentStatus) : undefined;
  };
  const report: Stage['report'] = async () => {
    const now = await status();
    return now?.is === 'running' ? now.report : undefined;
  };
  return {
    place,
    authority,
    pve,
    disks,
    policy,
    server: { url: server.url, requests: () => requests },
    hub,
    hubCertificate: hubTls.cert,
    agent,
    localApi,
    guests,
    status,
    report,
    wake: async () => void (await askAgent(place.adminSocket, 'POST /v1/wake')),
    writeDesired: (guests) => writeDocument(place.desired, { v: 1, guests }),
    felhom: (argv, colour = false) => runAs({ home: place.folder, token: hub.operatorToken }, argv, colour),
    felhomAs: async (person, argv, colour = false) => {
      if (people === undefined) throw new Error(`cannot run felhom as ${person}: nobody on this stage has a key`);
      return runAs(people[person], argv, colour);
    },
    mail: (envelope) => hub.mail(envelope),
    agentCommand: (argv) => runAgentCommand(place.agentConfig, argv),
    writeConfig,
    writePolicy: (policy) => writeDocument(place.policy, policy),
    until: async (what, condition, timeoutMs = 60_000) => {
      const end = Date.now() + timeoutMs;
      while (!(await condition())) {
        if (Date.now() >= end) throw new NotReached(what, timeoutMs / 1000, describe(await status(), agent));
        await wait(lookEveryMs);
      }
    },
    close: async () => {
      await agent.kill('SIGKILL');
      await guests?.close();
      await Promise.all([server.close(), hub.close(), control.close()]);
      root.close();
      rmSync(place.sockets, { recursive: true, force: true });
    },
  };
}

const machine = systemMachine();
/** Looks for news oftener than a person's machine does; keys without a passphrase need nobody at the terminal. */
const impatient: Machine = {
  ...machine,
  sleep: (ms) => wait(Math.min(ms, 500)),
  sshKeygen: (args, options) => machine.sshKeygen(args, { ...options, attached: false }),
};

/** Nobody else's on this machine, so that its port need not be looked for. */
const localAddress = () => ({ address: `127.8.${randomInt(1, 255)}.${randomInt(1, 255)}`, port: 8470 });

async function peopleOf(place: Place, hub: HubPlace): Promise<StagePeople> {
  const tool = findSshKeygen();
  if (tool.is === 'missing') throw new Error(tool.text);
  return makePeople(place.people, (name) => hub.operatorNamed(name));
}

/** Whose releases the golden image itself believes: carol's. */
function releaseSignersOf(people: StagePeople | undefined): readonly Member[] {
  if (people === undefined) return [];
  const line = `carol namespaces="${signatureNamespaces.release}" ${people.carol.keyLine}\n`;
  return [directoryMember('./etc/felhom/'), fileMember('./etc/felhom/release-signers', line)];
}

/** Root writes down whose signatures count, and each of the people chooses their key. */
async function settle(
  place: Place,
  people: StagePeople,
  runAs: (who: StagePeople[LabPerson], argv: readonly string[], colour: boolean) => Promise<CommandRun>,
): Promise<void> {
  const signers = Object.values(people).flatMap(({ principal, keyFile }) => [
    '--signer',
    `${principal}=${keyFile}.pub`,
  ]);
  const releases = ['--release-signer', `carol=${people.carol.keyFile}.pub`];
  const runs = [await runAgentCommand(place.agentConfig, ['trust', 'init', ...signers, ...releases])];
  for (const person of Object.values(people)) runs.push(await runAs(person, ['key', 'use', person.keyFile], false));
  const failed = runs.find(({ code }) => code !== 0);
  if (failed !== undefined) throw new Error(`cannot settle who signs on this stage: ${failed.err}${failed.out}`);
}

function describe(status: AgentStatus | undefined, agent: AgentProcess): string {
  if (status === undefined) {
    const end = agent.lastEnd();
    return agent.running()
      ? 'the agent runs and does not answer on its admin socket'
      : `no agent runs${end === undefined ? '' : ` (ended with ${end.code ?? end.signal})`}`;
  }
  if (status.is === 'degraded') return `the agent is degraded: ${status.why.text}`;
  const { report } = status;
  return JSON.stringify(
    {
      converged: report.converged,
      guests: report.guests,
      sagas: report.sagas,
      parked: report.parked,
      findings: report.findings,
      blocked: report.blocked.map((one) => one.text),
    },
    undefined,
    1,
  );
}

function colourWishes(): Record<string, string | undefined> {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  return { NO_COLOR, FORCE_COLOR, TERM };
}
