/**
 * `tunnel-apply`: what operators signed the tunnel to let in comes into force, whole or not at all. What was there before
 * lies in a file of root's own while the change is under way: where the tunnel does not come up it is put back, and where
 * this process is killed the next one puts it back first.
 */
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { digestOfTunnel, tunnelDeclaration } from '@felhom/protocol';
import type { JobOf, TunnelDeclaration } from '@felhom/protocol';
import { z } from 'zod';
import { placeFile, readOwnFile, syncFolder } from '../durable-file.ts';
import { ownFolder } from '../root-files.ts';
import { openSignedJob } from '../signed-job.ts';
import type { SignedJobOptions } from '../signed-job.ts';
import { whyNotRules } from './judge-rules.ts';
import { tunnelTexts } from './texts.ts';
import type { TunnelTexts } from './texts.ts';
import { showUnit, tunnelUnit } from './unit.ts';
import type { TunnelPlaces, TunnelWorld } from './world.ts';

export interface TunnelApplyOptions extends SignedJobOptions {
  readonly tunnel: TunnelWorld;
}

type Answer = { readonly is: 'done' } | { readonly is: 'refused' | 'busy'; readonly text: string };

const orders = { 'tunnel-change': { classes: ['disclose'], atLeast: 1 } } as const;

/** The same envelope twice does the work once. Throws where it is not known how far it came; asked again it goes on. */
export async function applyTunnel(options: TunnelApplyOptions, envelope: string, signal: AbortSignal): Promise<Answer> {
  const { tunnel, consumed } = options;
  const opened = await openSignedJob(options, envelope, orders, signal);
  if (opened.is !== 'job') return { is: opened.is, text: textOf(opened.text) };
  const { job, whyNot } = opened;
  await putBackHalf(tunnel);
  // Done by this very job, whose receipt was lost, or by another one: there is nothing to do.
  const inForce = declared(tunnel.places);
  if (inForce !== undefined && isInForce(tunnel, inForce, job.params.declaration)) {
    consumed.add(job.jobId, options.now());
    return { is: 'done' };
  }
  if (whyNot !== undefined) return refused(whyNot);
  const answer = await change(tunnel, job.params, inForce, signal);
  if (answer.is === 'done') consumed.add(job.jobId, options.now());
  return answer;
}

/**
 * What somebody wrote into one of the files by hand since is not in force, and rules under which the tunnel does not reach
 * the host's name servers of now are not either.
 */
function isInForce({ places, facts }: TunnelWorld, inForce: TunnelDeclaration, wanted: TunnelDeclaration): boolean {
  const now = facts();
  const { config, guests, dropIn } = tunnelTexts(wanted, 'bad' in now ? [] : now.nameServers);
  const found = textsIn(places);
  return (
    digestOfTunnel(inForce) === digestOfTunnel(wanted) &&
    found.config === config &&
    found.guests === guests &&
    ('bad' in now || found.dropIn === dropIn)
  );
}

async function change(
  world: TunnelWorld,
  { before, declaration }: JobOf<'tunnel-change'>['params'],
  inForce: TunnelDeclaration | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  if ((inForce === undefined ? undefined : digestOfTunnel(inForce)) !== before)
    return refused('the rules in force are not those that it was signed against; look at them and sign anew');
  const facts = world.facts();
  if ('bad' in facts) return { is: 'busy', text: textOf(facts.bad) };
  const wrong = whyNotRules(declaration, facts) ?? (await whyInvalid(world, declaration));
  if (wrong !== undefined) return refused(wrong);
  const unit = await showUnit(world.systemctl, shown);
  if (unit === undefined) return { is: 'busy', text: textOf('systemd does not tell how its unit is') };
  const runs = shouldRun(unit);
  const { places } = world;
  const earlier = { v: 1 as const, runs, texts: textsIn(places) };
  ownFolder(dirname(places.pending));
  placeFile(places.pending, `${JSON.stringify(earlier)}\n`, 0o600, (draft) => renameSync(draft, places.pending));
  place(places, {
    ...tunnelTexts(declaration, facts.nameServers),
    rules: `${JSON.stringify({ v: 1, declaration }, undefined, 2)}\n`,
  });
  await must(world, ['daemon-reload']);
  const down = runs ? await whyNotUp(world, unit.get('InvocationID') ?? '', signal) : undefined;
  if (down !== undefined) {
    await putBack(world, earlier);
    return refused(`with it the tunnel did not come up (${down}); the earlier rules are back`);
  }
  forget(places.pending);
  return { is: 'done' };
}

// ------------------------------------------------------------------------------------------------------- files

type Named = keyof TunnelTexts | 'rules';
/** The rules last: by them it is told what is in force. */
const names: readonly Named[] = ['config', 'guests', 'dropIn', 'rules'];
const exposed = 'others may write it; look at it, then chown root and chmod go-w it';

function textsIn(places: TunnelPlaces): Record<Named, string | null> {
  const read = (name: Named): string | null => readOwnFile(places[name], 0o022, exposed) ?? null;
  return { config: read('config'), guests: read('guests'), dropIn: read('dropIn'), rules: read('rules') };
}

function place(places: TunnelPlaces, texts: Readonly<Record<Named, string | null>>): void {
  mkdirSync(dirname(places.dropIn), { recursive: true, mode: 0o755 });
  for (const name of names) {
    const text = texts[name];
    // Read by the agent and by systemd; there is no secret in any of them.
    if (text === null) forget(places[name]);
    else placeFile(places[name], text, 0o644, (draft) => renameSync(draft, places[name]));
  }
  const back = textsIn(places);
  const other = names.find((name) => back[name] !== texts[name]);
  if (other !== undefined) throw new Error(`cannot change the tunnel: ${places[other]} reads back as something else`);
}

function forget(file: string): void {
  rmSync(file, { force: true });
  syncFolder(dirname(file));
}

const rulesFile = z.strictObject({ v: z.literal(1), declaration: tunnelDeclaration });

/** Throws where it does not read: it must never look like none. */
function declared({ rules }: TunnelPlaces): TunnelDeclaration | undefined {
  const text = readOwnFile(rules, 0o022, exposed);
  return text === undefined ? undefined : rulesFile.parse(JSON.parse(text)).declaration;
}

const text = z.string().nullable();
const pendingFile = z.strictObject({
  v: z.literal(1),
  runs: z.boolean(),
  texts: z.strictObject({ config: text, guests: text, dropIn: text, rules: text }),
});
type Pending = z.output<typeof pendingFile>;

async function putBackHalf(world: TunnelWorld): Promise<void> {
  const left = readOwnFile(world.places.pending, 0o077, exposed);
  if (left !== undefined) await putBack(world, pendingFile.parse(JSON.parse(left)));
}

async function putBack(world: TunnelWorld, earlier: Pending): Promise<void> {
  place(world.places, earlier.texts);
  await must(world, ['daemon-reload']);
  if (earlier.runs) await restart(world);
  forget(world.places.pending);
}

// -------------------------------------------------------------------------------------------- cloudflared, systemd

/** cloudflared's own word on its configuration, before anything is changed. */
async function whyInvalid({ places, cloudflared }: TunnelWorld, declaration: TunnelDeclaration) {
  const command = cloudflared();
  if (command === undefined) return undefined;
  ownFolder(dirname(places.draft));
  placeFile(places.draft, tunnelTexts(declaration, []).config, 0o600, (draft) => renameSync(draft, places.draft));
  try {
    const { code, stdout, stderr } = await command(['tunnel', '--config', places.draft, 'ingress', 'validate']);
    return code === 0 ? undefined : `cloudflared does not take it: ${`${stderr} ${stdout}`.trim().slice(0, 300)}`;
  } finally {
    rmSync(places.draft, { force: true });
  }
}

const shown = ['ActiveState', 'SubState', 'UnitFileState', 'ConditionResult', 'InvocationID', 'Result'] as const;

/** One that somebody stopped stays so; one that was only missing its files is started. */
function shouldRun(unit: ReadonlyMap<string, string>): boolean {
  if (unit.get('ActiveState') !== 'inactive') return true;
  return unit.get('UnitFileState')?.startsWith('enabled') === true && unit.get('ConditionResult') !== 'yes';
}

/** Seconds; others wait for their turn meanwhile, and longer than this. */
const patience = 45;

/** Its unit is of `Type=notify`: active means that the edge has answered. `before`: the run that is to end. */
async function whyNotUp(world: TunnelWorld, before: string, signal: AbortSignal): Promise<string | undefined> {
  await restart(world);
  for (let waited = 0; waited < patience; waited += 1) {
    await world.sleep(1_000, signal);
    const unit = await showUnit(world.systemctl, shown);
    if (unit === undefined) continue;
    const state = unit.get('ActiveState');
    // One whose conditions do not hold is not begun, so it has no run of its own; it is given a moment to be looked at.
    if (waited >= 5 && state === 'inactive' && unit.get('ConditionResult') === 'no')
      return 'a file that it needs is missing: are its credentials there, /etc/felhom/tunnel.json';
    if (unit.get('InvocationID') === before) continue;
    if (state === 'active') return undefined;
    if (state === 'failed' || unit.get('SubState') === 'auto-restart') return `it ended: ${unit.get('Result') ?? ''}`;
  }
  return `no connection to the edge within ${patience} s`;
}

async function restart(world: TunnelWorld): Promise<void> {
  await world.systemctl(['reset-failed', '--', tunnelUnit]);
  await must(world, ['--no-block', 'restart', '--', tunnelUnit]);
}

async function must({ systemctl }: TunnelWorld, args: readonly string[]): Promise<void> {
  const { code, stderr } = await systemctl(args);
  if (code !== 0) throw new Error(`cannot change the tunnel: systemctl ${args.join(' ')}: ${stderr.trim()}`);
}

const textOf = (why: string): string => (why.startsWith('cannot ') ? why : `cannot change the tunnel: ${why}`);

const refused = (why: string): Answer => ({ is: 'refused', text: textOf(why) });
