/**
 * Root's side of the verbs that take an operator's envelope, on the stage's files: the very functions that the helper of
 * a host runs, with a stand-in for systemd. Everything else goes to the helper's stand-in on the node.
 */
import {
  closeBreakGlass,
  consumedJobsIn,
  createSshKeygenVerifier,
  createTrustFile,
  receiptsIn,
  witnessIn,
  rootFiles,
  serveVerb,
} from '@felhom/agent';
import type { HelperAnswer, HostPolicy, RootParts, RootRequest } from '@felhom/agent';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { RootHelper } from '../world/root-helper.ts';
import type { StageDisks } from './disks.ts';
import { createFakeSystemd } from './fake-systemd.ts';
import type { Place } from './place.ts';

export interface StageRoot extends RootHelper {
  /** Stops the timers; nothing stays open. */
  close(): void;
}

export interface StageRootOptions {
  readonly place: Place;
  readonly policy: HostPolicy;
  /** For every other verb. */
  readonly helper: RootHelper;
  readonly disks: Pick<StageDisks, 'guestMounts' | 'helper'>;
}

/** Whoever runs the lab is root on its stage. */
export const stageUid = process.getuid?.() ?? 0;

export function createStageRoot({ place, policy, helper, disks }: StageRootOptions): StageRoot {
  const own = join(place.folder, 'root');
  mkdirSync(join(own, 'units'), { recursive: true, mode: 0o700 });
  const runDirectory = join(own, 'break-glass');
  const unitDirectory = join(own, 'units');
  const systemd = createFakeSystemd({ unitDirectory, onElapsed: () => void closeBreakGlass(glass) });
  const glass = { runDirectory, unitDirectory, systemctl: systemd.systemctl, files: rootFiles };
  const never = new AbortController().signal;
  const parts: RootParts = {
    trustFile: place.trust,
    trust: createTrustFile(place.trust, { ownerUids: [stageUid] }),
    verifier: createSshKeygenVerifier({ directory: join(own, 'verify') }),
    place: glass,
    breakGlass: () => ({ settings, maxMinutes: policy.breakGlass.maxMinutes }),
    consumed: consumedJobsIn(join(own, 'consumed-jobs')),
    receipts: receiptsIn(join(own, 'receipts')),
    witness: witnessIn(join(own, 'witness')),
    tunnelRestarts: join(own, 'tunnel-restarts'),
    now: () => Date.now(),
  };
  let before: Promise<unknown> = Promise.resolve();
  /** One at a time, as on a host. */
  const serve = (request: RootRequest): Promise<HelperAnswer> => {
    const answer = before.then(async (): Promise<HelperAnswer> => ({
      v: 1,
      ...(await serveVerb(request, parts, never)),
    }));
    before = answer.catch(() => undefined);
    return answer;
  };

  const answer: RootHelper['answer'] = async (request) => {
    switch (request.verb) {
      case 'trust-update':
      case 'break-glass-open':
      case 'break-glass-close':
      case 'break-glass-show':
      case 'witness':
        return serve(request);
      case 'show': {
        const shown = await serve(request);
        return shown.is === 'done' && shown.receipt === null ? helper.answer(request) : shown;
      }
      case 'guest-mounts': {
        const seen = disks.guestMounts(request.vmid);
        if (seen.is !== 'done') return { v: 1, is: 'refused', text: seen.why.text };
        const { running, mounts } = seen.value;
        return { v: 1, is: 'done', guestMounts: { running, mounts: [...mounts] } };
      }
      case 'mount':
        return told(await disks.helper.mount(request.operation, request.target, never));
      case 'unmount':
        return told(await disks.helper.unmount(request.operation, request.target, never));
      case 'storage-define':
        return told(await disks.helper.storageDefine(request.operation, request.target, never));
      case 'volumes-of':
      case 'reap-stub':
      case 'unlock':
      case 'pool-ensure':
      case 'archive-digest':
      case 'scratch-read':
      case 'key-test':
      case 'target-apply':
      case 'tunnel-apply':
      case 'tunnel-restart':
      case 'tunnel-show':
      case 'credential-test':
      case 'smart':
        return helper.answer(request);
    }
  };
  return { answer, close: () => systemd.close() };
}

const told = (outcome: Awaited<ReturnType<StageDisks['helper']['mount']>>): HelperAnswer =>
  outcome.is === 'done' ? { v: 1, is: 'done' } : { v: 1, is: 'refused', text: outcome.why.text };

/** Of a tunnel that nobody has. */
const settings = {
  v: 1 as const,
  port: 52_022,
  tunnel: {
    id: '00000000-0000-4000-8000-000000000000',
    hostname: 'break-glass.lab.example',
    credentialsFile: '/etc/felhom/break-glass-tunnel.json',
  },
  cloudflared: '/usr/bin/cloudflared',
};
