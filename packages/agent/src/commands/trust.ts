/**
 * `felhom-agent trust …`: whom this host trusts. Runs as root and without the agent, but for `reset-clock`. The first trust
 * comes from files typed on the host, never from the hub [R14].
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { maxEnvelopeBytes } from '@felhom/protocol';
import type { HostId, Thresholds } from '@felhom/protocol';
import type { Style } from '@felhom/terminal';
import type { Loaded } from '../adapters/config-file/index.ts';
import { createSshKeygenVerifier } from '../adapters/ssh-keygen/index.ts';
import { createTrustFile } from '../adapters/trust-file/index.ts';
import { trustUpdate, writeFirstTrustFile } from '../root-verbs/index.ts';
import { firstTrustDocument } from './trust-first.ts';
import type { NamedKey } from './trust-first.ts';
import { renderTrust } from './trust-render.ts';

export interface TrustContext {
  readonly print: (text: string) => void;
  /** Prints it and makes the exit code 1. */
  readonly fail: (text: string) => void;
  readonly style: Style;
  readonly now: () => number;
  readonly signal: AbortSignal;
  /** From the configuration. */
  readonly trustOf: () => Loaded<{ readonly host: HostId; readonly trustFile: string }>;
  /** Asks the running agent to take its clock as it is; `undefined` after it has printed why not. */
  readonly resetClock: () => Promise<unknown>;
  /** Who runs the command, and who may own the trust document: both 0 on a host. */
  readonly uid: number | undefined;
  readonly rootUid: number;
}

const thresholdNames = ['destroy', 'disclose', 'deploy', 'divert', 'removal', 'trust'] as const;

interface InitOptions extends Partial<Thresholds> {
  readonly signer: readonly [string, string][];
  readonly releaseSigner: readonly [string, string][];
  readonly loneOperator?: boolean;
  readonly touch: boolean;
  readonly days: number;
}

export function addTrust(program: Command, context: TrustContext): void {
  const trust = program.command('trust').description('whose signatures count on this host, and how many are needed');
  const init = trust
    .command('init')
    .description('write the first trust document, as root, from public key files')
    .option('--signer <name=file>', 'a person and her public key file, for jobs; once per key', collect, [])
    .option('--release-signer <name=file>', 'the same, for releases', collect, [])
    .option('--lone-operator', 'one person runs this host: nothing ever asks for two')
    .option('--no-touch', 'FIDO2 keys count without a touch')
    .option('--days <n>', 'how long it is in force before it has to be renewed', wholeNumber, 90);
  for (const name of thresholdNames)
    init.option(`--${name} <people>`, `people who have to sign for what is of class ${name}`, wholeNumber);
  init.action((options: InitOptions) => initTrust(context, options));
  trust
    .command('show')
    .description('the trust document in force')
    .option('--json', 'print JSON')
    .action((options: { readonly json?: boolean }) => showTrust(context, options.json === true));
  trust
    .command('apply')
    .description('carry out a signed change of trust that was brought here by hand, as root')
    .argument('<file>', 'the envelope')
    .action((file: string) => applyTrust(context, file));
  trust
    .command('reset-clock')
    .description('say that the clock is right as it is; every challenge so far is void')
    .action(async () => {
      if (context.uid !== context.rootUid) return context.fail('cannot reset the clock: this takes root');
      if ((await context.resetClock()) !== undefined)
        context.print('the clock counts as right; jobs that were signed before have to be made again\n');
    });
}

function initTrust(context: TrustContext, options: InitOptions): void {
  if (context.uid !== context.rootUid) return context.fail('cannot write the first trust document: this takes root');
  const place = context.trustOf();
  if (place.is === 'bad') return context.fail(place.why.text);
  const { host, trustFile } = place.value;
  const jobs = readKeys(options.signer);
  const releases = readKeys(options.releaseSigner);
  if (jobs.is === 'bad') return context.fail(jobs.text);
  if (releases.is === 'bad') return context.fail(releases.text);
  if (jobs.keys.length === 0)
    return context.fail('cannot write the first trust document: nobody is named; use --signer NAME=KEYFILE.pub');
  const made = firstTrustDocument({
    host,
    now: context.now(),
    days: options.days,
    jobs: jobs.keys,
    releases: releases.keys,
    loneOperator: options.loneOperator === true,
    touch: options.touch,
    thresholds: Object.fromEntries(
      thresholdNames.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
    ),
  });
  if (made.is !== 'ok') return context.fail(made.text);
  try {
    writeFirstTrustFile(trustFile, made.value);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return context.fail(
      code === 'EEXIST'
        ? `cannot write ${trustFile}: there is one; change it with a signed job, or look at it first and remove it by hand`
        : `cannot write ${trustFile}: ${message}`,
    );
  }
  context.print(`wrote ${trustFile}\n\n${renderTrust(made.value, context.now(), context.style)}`);
  const exposed = createTrustFile(trustFile, { ownerUids: [context.rootUid] }).read();
  if (exposed.is === 'unreadable') context.fail(exposed.why.text);
}

function showTrust(context: TrustContext, json: boolean): void {
  const place = context.trustOf();
  if (place.is === 'bad') return context.fail(place.why.text);
  const { host, trustFile } = place.value;
  const read = createTrustFile(trustFile, { ownerUids: [context.rootUid] }).read();
  if (read.is === 'none')
    return context.fail(`this host trusts nobody yet: there is no ${trustFile}; as root: felhom-agent trust init`);
  if (read.is === 'unreadable') return context.fail(read.why.text);
  context.print(
    json
      ? `${JSON.stringify({ digest: read.digest, document: read.document }, undefined, 2)}\n`
      : renderTrust(read.document, context.now(), context.style),
  );
  if (read.document.host !== host)
    context.fail(`the trust document is for ${read.document.host}, this host is ${host}: nothing in it counts here`);
}

async function applyTrust(context: TrustContext, file: string): Promise<void> {
  if (context.uid !== context.rootUid) return context.fail('cannot change trust: this takes root');
  const place = context.trustOf();
  if (place.is === 'bad') return context.fail(place.why.text);
  const { host, trustFile } = place.value;
  const directory = mkdtempSync(join(tmpdir(), 'felhom-trust-'));
  try {
    const answer = await trustUpdate(
      {
        file: trustFile,
        trust: createTrustFile(trustFile, { ownerUids: [context.rootUid] }),
        verifier: createSshKeygenVerifier({ directory }),
        host,
        now: context.now(),
      },
      readSmallFile(file, maxEnvelopeBytes),
      context.signal,
    );
    if (answer.is === 'done') context.print(`version ${answer.version} of the trust document is in force\n`);
    else context.fail(answer.text);
  } catch (error) {
    context.fail(`cannot change trust: ${(error as Error).message}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

type Keys = { readonly is: 'read'; readonly keys: readonly NamedKey[] } | { readonly is: 'bad'; readonly text: string };

function readKeys(named: readonly (readonly [string, string])[]): Keys {
  try {
    const keys = named.map(([principal, file]) => ({ principal, file, text: readSmallFile(file, 4096) }));
    return { is: 'read', keys };
  } catch (error) {
    return { is: 'bad', text: `cannot read a public key: ${(error as Error).message}` };
  }
}

function readSmallFile(file: string, mostBytes: number): string {
  const found = statSync(file);
  if (!found.isFile() || found.size > mostBytes)
    throw new Error(`${file} is no plain file of at most ${mostBytes} bytes`);
  return readFileSync(file, 'utf8').trim();
}

function collect(
  value: string,
  earlier: readonly (readonly [string, string])[],
): readonly (readonly [string, string])[] {
  const at = value.indexOf('=');
  if (at < 1 || at === value.length - 1) throw new InvalidArgumentError('write it as NAME=KEYFILE.pub');
  return [...earlier, [value.slice(0, at), value.slice(at + 1)]];
}

function wholeNumber(value: string): number {
  if (!/^[1-9]\d{0,3}$/.test(value)) throw new InvalidArgumentError('must be a whole number from 1 on');
  return Number(value);
}
