/**
 * The reference controller: looks after the apps of its guest and does its part of backups. It holds a token for its own
 * guest and nothing else. At every start, before it asks anybody anything, apps that were left standing still go on.
 */
import type { LocalClient } from '../client/client.ts';
import type { Apps, Clock, ControllerHealth, GuestFiles, Random } from '../ports.ts';
import { endStandstill, readStandstill } from '../standstill.ts';
import { together } from '../together.ts';
import { doGuestBackup } from './backup-duty.ts';
import type { DueBackup } from './backup-duty.ts';
import { doBulkBackup } from './bulk-duty.ts';
import { readAudit, setConsent } from './customer-words.ts';
import { deploy } from './deploy.ts';
import { lookAfterVolumes } from './volume-duty.ts';
import type { VolumeLook } from './volume-duty.ts';

export interface ControllerNeeds {
  readonly client: LocalClient;
  /** `<uid>` of the guest. */
  readonly guest: string;
  readonly files: GuestFiles;
  readonly apps: Apps;
  readonly clock: Clock;
  readonly random: Random;
  /** From desired state; `bulk_target`: folder for copies of bulk volumes. */
  readonly config: Readonly<Record<string, string>>;
  readonly say: (line: string) => void;
}

export interface Controller {
  /** Works until aborted; throws what is a bug or broken IO, as a process would end. */
  run(signal: AbortSignal): Promise<void>;
  health(): Promise<ControllerHealth>;
  deploy(stack: string, signal: AbortSignal): ReturnType<typeof deploy>;
  audit(signal: AbortSignal): ReturnType<typeof readAudit>;
  /** `typed`: the customer's words, `undefined` withdraws. */
  consent(typed: string | undefined, signal: AbortSignal): ReturnType<typeof setConsent>;
}

const waitSeconds = 50;
const pauseMs = 5_000;
/** The host announces a backup until it was taken; one that failed is tried again after so long. */
const againMs = 300_000;
/** Between two looks at the volumes. */
const lookMs = { used: 60_000, unused: 600_000 };

export function createController(needs: ControllerNeeds): Controller {
  const { client, files, apps, clock } = needs;
  const tried = new Map<string, number>();
  let trouble: string | undefined;
  let withoutVolume: readonly string[] = [];
  let staleVolumes: readonly string[] = [];
  let lookTrouble: string | undefined;

  const isNew = ({ id, graceUntil }: DueBackup): boolean =>
    clock.now() < graceUntil && clock.now() - (tried.get(id) ?? -Infinity) >= againMs;
  const doDue = async (due: DueBackup, signal: AbortSignal): Promise<void> => {
    if (due.scope === 'bulk') {
      const report = await doBulkBackup(needs, due, needs.config['bulk_target'], signal);
      trouble = report.failed === undefined ? undefined : `backup of ${report.volume}: ${report.failed}`;
      return;
    }
    const result = await doGuestBackup(needs, due, signal);
    trouble = result.is === 'failed' ? `backup: ${result.text}` : undefined;
    if (trouble !== undefined) needs.say(trouble);
  };

  const doBackups = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const answer = await client.backupDue({}, signal, { waitSeconds });
      const due = answer.is === 'ok' ? answer.value.due.filter(isNew) : [];
      // Bulk takes long and waits for nothing: guests first.
      for (const one of due.toSorted((a, b) => Number(a.scope === 'bulk') - Number(b.scope === 'bulk'))) {
        await doDue(one, signal);
        // From its end on: apps must not go from one standstill into the next.
        tried.set(one.id, clock.now());
      }
      for (const id of tried.keys())
        if (answer.is === 'ok' && !answer.value.due.some((one) => one.id === id)) tried.delete(id);
      if (due.length === 0) await clock.sleep(pauseMs, signal);
    }
  };

  /** One that fails, as on a full disk, must not end the backups: it is said, and looked again. */
  const lookOnce = async (signal: AbortSignal): Promise<VolumeLook | undefined> => {
    try {
      const look = await lookAfterVolumes(needs, signal, staleVolumes);
      lookTrouble = undefined;
      return look;
    } catch (error) {
      const text = `cannot look after the volumes: ${error instanceof Error ? error.message : String(error)}`;
      if (!signal.aborted && text !== lookTrouble) needs.say(text);
      lookTrouble = text;
      return undefined;
    }
  };
  const watchVolumes = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const look = await lookOnce(signal);
      if (look?.is === 'looked') {
        for (const text of look.texts) if (!withoutVolume.includes(text)) needs.say(text);
        withoutVolume = look.texts;
        staleVolumes = look.stale;
      }
      const isIdle = look?.is === 'looked' && !look.usesVolumes;
      await clock.sleep(isIdle ? lookMs.unused : lookMs.used, signal);
    }
  };

  return {
    run: async (signal) => {
      while ((await endStandstill(needs)).is === 'failed') await clock.sleep(pauseMs, signal);
      await together([doBackups, watchVolumes], signal);
    },
    health: async () => {
      const [running, stoppedStacks, standstill] = [
        await apps.running(),
        await apps.stopped(),
        await readStandstill(files),
      ];
      const sick: string[] = [];
      for (const stack of running) if ((await apps.health(stack)) === 'unhealthy') sick.push(stack);
      const text = [
        ...(sick.length > 0 ? [`unhealthy: ${sick.join(', ')}`] : []),
        ...withoutVolume,
        ...(lookTrouble === undefined ? [] : [lookTrouble]),
        ...(trouble === undefined ? [] : [trouble]),
      ];
      return {
        healthy: sick.length === 0,
        quiesced: standstill !== 'none',
        text: text.join('; ').slice(0, 1000),
        stoppedStacks,
      };
    },
    deploy: (stack, signal) => deploy(needs, stack, signal),
    audit: (signal) => readAudit(client, needs.guest, signal),
    consent: (typed, signal) => setConsent(client, typed, signal),
  };
}
