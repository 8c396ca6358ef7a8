/**
 * The small supervisor that the golden image carries. It pulls what its host wants to run, verifies it itself, runs it and
 * reports how it is [R17]. It survives the controller: it restarts one that ended, and lets apps go on when a controller
 * that is gone left them standing still.
 *
 * One loop per concern: `follow` hears of new orders, `keepRunning` makes one true, `tell` reports.
 */
import type { ControllerStatus, DesiredController } from '@felhom/protocol';
import type { LocalClient, LocalInput } from '../client/client.ts';
import { guestPaths } from '../paths.ts';
import type { Apps, Clock, GuestFiles, Images, RunningImage } from '../ports.ts';
import { endOverdue, readStandstill } from '../standstill.ts';
import { together } from '../together.ts';
import { adoptOrder, obeyStop, readSupervisorRecord } from './adopt-order.ts';
import type { SupervisorRecord } from './adopt-order.ts';
import { parseReleaseSigners } from './verify-release.ts';

export interface SupervisorNeeds {
  readonly client: LocalClient;
  readonly files: GuestFiles;
  readonly apps: Apps;
  readonly images: Images;
  readonly clock: Clock;
  /** Run while the host wants no image: only where a lab says so. */
  readonly builtIn?: (signal: AbortSignal) => Promise<RunningImage>;
  readonly say: (line: string) => void;
}

export interface Supervisor {
  /** Works until aborted, then stops what it runs. */
  run(signal: AbortSignal): Promise<void>;
  /** As it would be reported now. */
  status(): Promise<LocalInput<'controllerStatus'>>;
}

const waitSeconds = 50;
const pauseMs = 5_000;
const tellMs = 30_000;
const lookMs = 1_000;
/** A second before the end, when the controller's own timer has fired already: by the end the apps run. */
const overdueMs = -1_000;
const firstWordMs = 10_000;
const firstRestartMs = 1_000;
const longestRestartMs = 300_000;
/** A controller that ran so long ended for a new reason. */
const steadyMs = 600_000;

export function createSupervisor(needs: SupervisorNeeds): Supervisor {
  const { client, files, apps, images, clock } = needs;
  let order: DesiredController | undefined;
  let running: { readonly image: RunningImage; readonly digest: string | null } | undefined;
  let text: string | undefined;
  let restarts = 0;
  /** Aborted when what runs is no longer what is wanted. */
  let change = new AbortController();
  let wakeTeller = new AbortController();
  /** Aborted when the host has answered, or has not, for the first time. */
  const heard = new AbortController();

  const status: Supervisor['status'] = async () => {
    const record = await readSupervisorRecord(files);
    const health = await running?.image.health().catch(() => undefined);
    const standstill = await readStandstill(files);
    return {
      generation: order?.generation ?? record.generation,
      digest: (running?.digest ?? null) as ControllerStatus['digest'],
      ...(running?.digest !== undefined && running.digest !== null && record.current !== undefined
        ? { version: record.current.version }
        : {}),
      health: healthWord(order, running !== undefined, health?.healthy, text !== undefined),
      restarts,
      ...(record.copyOf === undefined ? {} : { stateCopyOf: record.copyOf }),
      quiesced: standstill !== 'none',
      ...textOf(text ?? health?.text),
      stoppedStacks: [...(health?.stoppedStacks ?? (await apps.stopped()))],
    };
  };

  const follow = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const known = order?.generation;
      const wait = known === undefined ? {} : { query: { generation: known }, waitSeconds };
      const answer = await client.controller({}, signal, wait);
      heard.abort();
      if (answer.is === 'ok' && answer.value.generation !== known) {
        order = answer.value;
        change.abort();
        change = new AbortController();
      } else if (answer.is === 'ok') await clock.sleep(lookMs, signal);
      else await clock.sleep(pauseMs, signal);
    }
  };

  /** Runs one order until it changes; restarts what ends meanwhile. */
  const keepRunning = async (signal: AbortSignal): Promise<void> => {
    let inRow = 0;
    // What ran last would be stopped again at once if the host wants something else.
    await sleepOr(firstWordMs, AbortSignal.any([signal, heard.signal]));
    while (!signal.aborted) {
      const until = AbortSignal.any([signal, change.signal]);
      const startedAt = clock.now();
      const started = await startWanted(until);
      if (started !== undefined) {
        running = started;
        wakeTeller.abort();
        const end = await Promise.race([started.image.ended, aborted(until)]);
        running = undefined;
        if (end === 'aborted') await started.image.stop();
        else {
          needs.say(`the controller ended: ${end.text}`);
          text = `it ended: ${end.text}`;
          restarts += 1;
        }
      }
      if (until.aborted) {
        inRow = 0;
        continue;
      }
      inRow = clock.now() - startedAt >= steadyMs ? 0 : inRow + 1;
      wakeTeller.abort();
      const pause =
        started === undefined && text === undefined ? pauseMs : firstRestartMs * 2 ** Math.min(inRow - 1, 12);
      await sleepOr(Math.min(longestRestartMs, Math.max(firstRestartMs, pause)), until);
    }
  };

  const startWanted = async (signal: AbortSignal): Promise<typeof running> => {
    const wanted = order;
    // Before the host has said anything, what ran last goes on: a host that is down stops nobody's apps.
    const record = await readSupervisorRecord(files);
    if (wanted !== undefined) await obeyStop(files, apps, wanted.directive === 'stop');
    if (wanted?.directive === 'stop') {
      text = undefined;
      return undefined;
    }
    if (wanted !== undefined && wanted.image !== null) {
      const signers = await files.read(guestPaths.releaseSigners, 65_536);
      const adopted = await adoptOrder(
        files,
        wanted,
        parseReleaseSigners(signers === undefined ? '' : new TextDecoder().decode(signers)),
        clock.now(),
      );
      if (adopted.is === 'refused') {
        needs.say(adopted.text);
        text = adopted.text;
        return runKnown(record, signal);
      }
      text = undefined;
      return runKnown(adopted.record, signal);
    }
    if (record.current !== undefined) return runKnown(record, signal);
    if (needs.builtIn === undefined) return undefined;
    return { image: await needs.builtIn(signal), digest: null };
  };

  const runKnown = async (record: SupervisorRecord, signal: AbortSignal): Promise<typeof running> => {
    if (record.current === undefined) return undefined;
    const { digest, version } = record.current;
    const image = await images.run(
      { digest, version, config: order?.config ?? {}, outward: order?.outward ?? true },
      signal,
    );
    if ('is' in image) {
      text = image.text;
      return undefined;
    }
    return { image, digest };
  };

  const tell = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      wakeTeller = new AbortController();
      await client.controllerStatus(await status(), signal);
      await sleepOr(tellMs, AbortSignal.any([signal, wakeTeller.signal]));
    }
  };

  const watchStandstill = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const ended = await endOverdue(needs, overdueMs);
      if (ended !== 'none') {
        needs.say(ended === 'ended' ? 'apps go on: a standstill was over' : 'cannot let the apps go on: trying again');
        await client.unquiesce({}, signal);
      }
      await clock.sleep(lookMs, signal);
    }
  };

  const sleepOr = (ms: number, signal: AbortSignal): Promise<void> =>
    clock.sleep(ms, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });

  return {
    status,
    run: (signal) => together([follow, keepRunning, tell, watchStandstill], signal),
  };
}

const textOf = (text: string | undefined): { text?: string } =>
  text === undefined || text === '' ? {} : { text: text.slice(0, 1000) };

function healthWord(
  order: DesiredController | undefined,
  runs: boolean,
  healthy: boolean | undefined,
  trouble: boolean,
): ControllerStatus['health'] {
  if (order?.directive === 'stop') return runs ? 'starting' : 'stopped';
  if (runs) return healthy === undefined ? 'starting' : healthy && !trouble ? 'healthy' : 'unhealthy';
  return trouble ? 'unhealthy' : 'stopped';
}

const aborted = (signal: AbortSignal): Promise<'aborted'> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve('aborted');
    else signal.addEventListener('abort', () => resolve('aborted'), { once: true });
  });
