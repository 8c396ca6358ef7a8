/**
 * `felhom-agent storage …`: the targets of this host, by root at the host and without the agent. Who is root here needs
 * nobody's signature; everybody else brings an envelope.
 */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { storageTarget, targetIdentity } from '@felhom/protocol';
import type { Style } from '@felhom/terminal';
import { z } from 'zod';
import { loadFile } from '../adapters/config-file/index.ts';
import {
  attachTarget,
  defineStorage,
  detachTarget,
  keepCredential,
  listStorage,
  planAttach,
  planRePoint,
  planWipe,
  rePointTarget,
  wipeTarget,
} from '../root-verbs/storage/index.ts';
import type { ChangeAnswer, KeptCredential, StorageWorld } from '../root-verbs/storage/index.ts';
import { renderPlan, renderRePoint, renderStorage, renderWipe } from './storage-render.ts';

export interface StorageContext {
  readonly print: (text: string) => void;
  /** Prints it and makes the exit code 1. */
  readonly fail: (text: string) => void;
  readonly style: Style;
  /** Wall time, milliseconds since the epoch. */
  readonly now: () => number;
  /** `undefined`: there is nobody to ask. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
  /** What a person types for an answer; `undefined`: there is nobody to ask. */
  readonly typed: ((question: string) => Promise<string>) | undefined;
  /** All of stdin, at most 4 KiB. */
  readonly readStdin: () => Promise<string>;
  /** Who runs the command, and who may: both 0 on a host. */
  readonly uid: number | undefined;
  readonly rootUid: number;
  /** Holds the turn of root's verbs while the work is done. Throws where another process has it. */
  readonly asRoot: <T>(work: (world: StorageWorld) => Promise<T>) => Promise<T>;
}

/** What a declaration may say, each by an option of the same name. No password is among them. */
const fields = {
  name: 'what it is called on this host',
  type: 'local-dir, usb, nfs, cifs or pbs',
  storage: 'the storage of Proxmox that stands for it',
  role: 'primary, vzdump-target, pbs-offsite or bulk-data',
  class: 'fast or slow; a disk is measured where it is not said',
  uuid: 'of the file system, as felhom-agent storage list shows it',
  'file-system': 'ext4, xfs or btrfs',
  serial: 'of the disk; taken from it where it is not said',
  server: 'name or address',
  export: 'of an NFS server',
  share: 'of a CIFS server',
  user: 'at the server',
  credential: 'name of the password, kept by felhom-agent storage credential',
  port: 'of a Proxmox Backup Server',
  datastore: 'of a Proxmox Backup Server',
  namespace: 'of a Proxmox Backup Server',
  fingerprint: 'of the certificate of a Proxmox Backup Server',
} as const;

interface AttachFlags extends Readonly<Record<string, unknown>> {
  readonly offsite?: boolean;
  readonly yes?: boolean;
  readonly takeOver?: boolean;
}

export function addStorage(program: Command, context: StorageContext): void {
  const storage = program.command('storage').description('where this host keeps volumes and backups');
  storage
    .command('list')
    .description('the targets that are declared, against what is there; and disks that could be one')
    .option('--json', 'print JSON')
    .action((options: { readonly json?: boolean }) => guarded(context, () => list(context, options.json === true)));
  const attach = storage
    .command('attach')
    .description('make a disk with a file system, or a server, a target of this host; formats nothing')
    .argument('[file]', 'the declaration, YAML or JSON; options say the same, and more than it')
    .option('--offsite', 'it is away from this host')
    .option('--take-over', 'a disk with the mark of another target, or without its own, becomes this one')
    .option('-y, --yes', 'do not ask');
  for (const [field, text] of Object.entries(fields)) attach.option(`--${field} <${field}>`, text);
  attach.action((file: string | undefined, flags: AttachFlags) =>
    guarded(context, () => attachOne(context, file, flags)),
  );
  storage
    .command('detach')
    .description('put a target out of use; nothing on it is touched')
    .argument('<name>')
    .action((name: string) =>
      guarded(context, async () =>
        tell(context, await context.asRoot((world) => detachTarget(world, name)), `${name} is detached`),
      ),
    );
  storage
    .command('wipe')
    .description('overwrite the ends of a disk that was detached; no secure erase')
    .argument('<name>')
    .action((name: string) => guarded(context, () => wipeOne(context, name)));
  storage
    .command('re-point')
    .description('the same server at another address, or with another certificate, user or credential')
    .argument('<file>', 'the whole declaration as it is to be, YAML or JSON')
    .option('-y, --yes', 'do not ask')
    .action((file: string, flags: { readonly yes?: boolean }) =>
      guarded(context, () => rePointOne(context, file, flags.yes === true)),
    );
  storage
    .command('credential')
    .description('keep the password of a server, read from stdin')
    .argument('<name>', 'as declarations name it', (name) => {
      if (/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/.test(name)) return name;
      throw new InvalidArgumentError('lower-case letters, digits and -, at most 40.');
    })
    .action((name: string) => guarded(context, () => keep(context, name)));
}

/** Root's errors are for people: what could not be done, in one line. */
async function guarded(context: StorageContext, work: () => Promise<void>): Promise<void> {
  if (context.uid !== context.rootUid) return context.fail('cannot look after storage: this takes root');
  try {
    await work();
  } catch (error) {
    context.fail(error instanceof Error ? error.message : String(error));
  }
}

async function list({ asRoot, print, style }: StorageContext, json: boolean): Promise<void> {
  const found = await asRoot(listStorage);
  print(json ? `${JSON.stringify(found, undefined, 2)}\n` : renderStorage(found, style));
}

async function attachOne(context: StorageContext, file: string | undefined, flags: AttachFlags): Promise<void> {
  const draft = draftOf(file, flags);
  if (draft.is === 'bad') return context.fail(draft.text);
  const planned = await context.asRoot(async (world) => {
    const answer = await planAttach(world, draft.draft, context.now);
    if (answer.is === 'plan') context.print(renderPlan(answer.plan, world, context.style));
    return answer;
  });
  if (planned.is !== 'plan') return context.fail(planned.text);
  const { plan } = planned;
  // Nobody else waits for root while a person thinks.
  if (flags.yes !== true) {
    if (context.confirm === undefined) return context.fail('nothing was done: there is nobody to ask; add --yes');
    if (!(await context.confirm(`Attach ${plan.target.name}?`))) return context.fail('nothing was done');
  }
  const options = { now: context.now(), takeOver: flags.takeOver === true };
  const answer = await context.asRoot(async (world) => {
    // Somebody may have begun to wipe it meanwhile. What was shown is held to: its class and its serial too.
    const again = await planAttach(world, plan.target, context.now);
    return again.is === 'plan' ? attachTarget(world, again.plan, options) : again;
  });
  tell(context, answer, `${plan.target.name} is attached: ${targetIdentity(plan.target)}`);
}

type Draft = { readonly is: 'draft'; readonly draft: object } | { readonly is: 'bad'; readonly text: string };

function draftOf(file: string | undefined, flags: AttachFlags): Draft {
  const loaded =
    file === undefined ? undefined : loadFile<Record<string, unknown>>(file, z.record(z.string(), z.unknown()));
  if (loaded?.is === 'bad') return { is: 'bad', text: loaded.why.text };
  const said: Record<string, unknown> = { ...loaded?.value };
  for (const field of Object.keys(fields)) {
    const key = field === 'file-system' ? 'fileSystem' : field;
    const value = flags[key];
    if (value !== undefined) said[key] = key === 'port' ? Number(value) : value;
  }
  if (flags.offsite === true) said['offsite'] = true;
  return Object.keys(said).length === 0
    ? {
        is: 'bad',
        text: 'cannot attach nothing: name a file, or say what it is by options; see felhom-agent storage attach --help',
      }
    : { is: 'draft', draft: said };
}

async function wipeOne(context: StorageContext, name: string): Promise<void> {
  const planned = await context.asRoot((world) => planWipe(world, name));
  if (planned.is !== 'plan') return context.fail(planned.text);
  context.print(renderWipe(planned.plan, context.style));
  if (context.typed === undefined) return context.fail('nothing was done: a person has to type the name of the target');
  if ((await context.typed(`Type ${name} to wipe it:`)) !== name) return context.fail('nothing was done');
  const answer = await context.asRoot(async (world) => {
    // Somebody may have pulled it, and put another one there, while a person was thinking.
    const again = await planWipe(world, name);
    return again.is === 'plan' ? wipeTarget(world, again.plan, context.now()) : again;
  });
  tell(context, answer, `${name} is wiped; its name is not given away again`);
}

async function rePointOne(context: StorageContext, file: string, yes: boolean): Promise<void> {
  const loaded = loadFile(file, storageTarget);
  if (loaded.is === 'bad') return context.fail(loaded.why.text);
  const { value } = loaded;
  const planned = await context.asRoot((world) => planRePoint(world, value.name, value));
  if (planned.is !== 'plan') return context.fail(planned.text);
  context.print(renderRePoint(planned.plan, context.style));
  if (!yes) {
    if (context.confirm === undefined) return context.fail('nothing was done: there is nobody to ask; add --yes');
    if (!(await context.confirm(`Re-point ${value.name}?`))) return context.fail('nothing was done');
  }
  const answer = await context.asRoot(async (world) => {
    const again = await planRePoint(world, value.name, value);
    return again.is === 'plan' ? rePointTarget(world, again.plan) : again;
  });
  tell(context, answer, `${value.name} is at ${targetIdentity(value)}`);
}

async function keep(context: StorageContext, name: string): Promise<void> {
  const secret = (await context.readStdin()).replace(/\r?\n$/, '');
  await context.asRoot(async (world) => {
    const kept = await keepCredential(world, name, secret);
    if (kept.is === 'bad') return context.fail(`cannot keep the credential ${name}: ${kept.text}`);
    context.print(`${name}: ${keptHow(kept)}\n`);
    const held = world.registry.read();
    const users = held.is === 'held' ? held.manifest.targets : [];
    for (const { target, state } of users)
      if ('credential' in target && target.credential === name && state === 'attached')
        tell(context, await defineStorage(world, target.name, true), `${target.name}: Proxmox has it`);
  });
}

function keptHow(kept: Exclude<KeptCredential, { is: 'bad' }>): string {
  if (kept.is === 'plain')
    return 'kept in a file that only root reads; systemd cannot seal here, so whoever takes the disk can read it';
  return kept.tpm
    ? "sealed to this host's TPM"
    : 'sealed to a key on this disk, for want of a TPM; whoever takes the disk can read it';
}

function tell({ print, fail }: StorageContext, answer: ChangeAnswer, done: string): void {
  if (answer.is === 'done') print(`${done}\n`);
  else fail(answer.text);
}
