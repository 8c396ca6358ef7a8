/**
 * Deploys an app with a way back: a checkpoint of the guest first, and back to it when the app does not become healthy.
 * A host that can make no checkpoint, or may not go back to it by itself, says so, and so does the result.
 */
import type { Operation } from '@felhom/protocol';
import type { LocalClient, LocalResult } from '../client/client.ts';
import type { Apps, Clock, GuestFiles } from '../ports.ts';
import { guestPaths } from '../paths.ts';
import { longestFelhomFile, parseFelhomFile } from './felhom-file.ts';
import { placeVolumes } from './placement.ts';

export interface DeployNeeds {
  readonly client: LocalClient;
  readonly apps: Apps;
  readonly files: GuestFiles;
  readonly clock: Clock;
}

export type DeployResult =
  | { readonly is: 'healthy'; readonly checkpoint: string }
  /** Nothing was changed. */
  | { readonly is: 'refused'; readonly texts: readonly string[] }
  | { readonly is: 'rolled-back'; readonly text: string }
  /** The app is not healthy and the guest is as the deployment left it. */
  | { readonly is: 'left'; readonly text: string; readonly why: string };

const checkpointMs = 20 * 60_000;
const healthMs = 120_000;
const pollMs = 1_000;

export async function deploy(needs: DeployNeeds, stack: string, signal: AbortSignal): Promise<DeployResult> {
  const { client, apps } = needs;
  const refused = (...texts: string[]): DeployResult => ({ is: 'refused', texts });
  const bytes = await needs.files.read(`${guestPaths.stacks}/${stack}/.felhom.yml`, longestFelhomFile);
  if (bytes === undefined) return refused(`cannot deploy ${stack}: it has no .felhom.yml`);
  const file = parseFelhomFile(new TextDecoder().decode(bytes));
  if (file.is === 'invalid') return refused(file.text);
  const storage = await client.storage({}, signal);
  if (storage.is !== 'ok') return refused(`cannot deploy ${stack}: the host does not say which volumes there are`);
  const placement = placeVolumes(file.value, storage.value);
  if (placement.is === 'refused') return refused(...placement.texts);
  if (storage.value.checkpoint.by === 'none')
    return refused(`cannot deploy ${stack}: there would be no way back: ${storage.value.checkpoint.why}`);

  const made = await settled(needs, await client.snapshot({ purpose: 'deploy', label: stack }, signal), signal);
  if (made.is === 'failed' || made.operation.checkpoint === undefined)
    return refused(`cannot deploy ${stack}: no checkpoint: ${made.is === 'failed' ? made.text : 'it has no name'}`);
  const { checkpoint } = made.operation;
  const started = await apps.start(stack);
  const why = started.is === 'failed' ? started.text : await notHealthy(needs, stack, signal);
  if (why === undefined) return { is: 'healthy', checkpoint };
  const text = `${stack} did not become healthy: ${why}`;
  const back = await settled(needs, await client.rollback({ checkpoint }, signal), signal);
  // A rollback that works ends this process with its guest: who reads this was answered before, or by the next start.
  return back.is === 'done' ? { is: 'rolled-back', text } : { is: 'left', text, why: back.text };
}

async function notHealthy(
  { apps, clock }: DeployNeeds,
  stack: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const end = clock.now() + healthMs;
  for (;;) {
    const health = await apps.health(stack);
    if (health === 'healthy') return undefined;
    if (clock.now() >= end) return `it is ${health} after ${healthMs / 1000} s`;
    await clock.sleep(pollMs, signal);
  }
}

type Settled =
  { readonly is: 'done'; readonly operation: Operation } | { readonly is: 'failed'; readonly text: string };

async function settled(
  { client, clock }: DeployNeeds,
  asked: LocalResult<Operation>,
  signal: AbortSignal,
): Promise<Settled> {
  if (asked.is !== 'ok') return { is: 'failed', text: asked.is === 'lost' ? asked.text : asked.problem.detail };
  const end = clock.now() + checkpointMs;
  let operation = asked.value;
  while (operation.state !== 'done') {
    if (operation.state === 'failed') return { is: 'failed', text: operation.text };
    if (clock.now() >= end) return { is: 'failed', text: 'it takes too long' };
    await clock.sleep(pollMs, signal);
    const now = await client.operation({}, signal, { id: operation.id });
    if (now.is === 'ok') operation = now.value;
    else if (now.is === 'problem' && now.problem.status === 404) return { is: 'failed', text: now.problem.detail };
  }
  return { is: 'done', operation };
}
