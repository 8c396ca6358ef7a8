/**
 * Root's side of the verbs that take an operator's envelope, on the stage's files: the very functions that the helper of
 * a host runs, with a stand-in for systemd. Everything else goes to the helper's stand-in on the node.
 */
import {
  closeBreakGlass,
  consumedJobsIn,
  createSshKeygenVerifier,
  createTrustFile,
  openBreakGlass,
  rootFiles,
  showBreakGlass,
  trustUpdate,
} from '@felhom/agent';
import type { HelperAnswer, HelperRequest, HostPolicy } from '@felhom/agent';
import type { HostId } from '@felhom/protocol';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { RootHelper } from '../world/root-helper.ts';
import { createFakeSystemd } from './fake-systemd.ts';
import type { Place } from './place.ts';

export interface StageRoot extends RootHelper {
  /** Stops the timers; nothing stays open. */
  close(): void;
}

export interface StageRootOptions {
  readonly place: Place;
  readonly host: HostId;
  readonly policy: HostPolicy;
  /** For every other verb. */
  readonly helper: RootHelper;
}

/** Whoever runs the lab is root on its stage. */
export const stageUid = process.getuid?.() ?? 0;

export function createStageRoot({ place, host, policy, helper }: StageRootOptions): StageRoot {
  const own = join(place.folder, 'root');
  mkdirSync(join(own, 'units'), { recursive: true, mode: 0o700 });
  const runDirectory = join(own, 'break-glass');
  const unitDirectory = join(own, 'units');
  const systemd = createFakeSystemd({ unitDirectory, onElapsed: () => void closeBreakGlass(glass) });
  const glass = { runDirectory, unitDirectory, systemctl: systemd.systemctl, files: rootFiles };
  const trust = createTrustFile(place.trust, { ownerUids: [stageUid] });
  const verifier = createSshKeygenVerifier({ directory: join(own, 'verify') });
  const consumed = consumedJobsIn(join(own, 'consumed-jobs'));
  const receipts = new Map<string, { operation: string; verb: string; at: number }>();
  const never = new AbortController().signal;

  const once = async (
    request: Extract<HelperRequest, { operation: string }>,
    work: () => Promise<{ readonly is: string; readonly text?: string }>,
  ): Promise<HelperAnswer> => {
    if (receipts.has(request.operation)) return { v: 1, is: 'done' };
    const answer = await work();
    if (answer.is !== 'done')
      return { v: 1, is: answer.is === 'busy' ? 'busy' : 'refused', text: answer.text ?? answer.is };
    receipts.set(request.operation, { operation: request.operation, verb: request.verb, at: Date.now() });
    return { v: 1, is: 'done' };
  };

  const open = async (envelope: string): Promise<{ readonly is: string; readonly text?: string }> => {
    const { maxMinutes } = policy.breakGlass;
    const options = { ...glass, settings, maxMinutes, host, trust, verifier, consumed, now: Date.now() };
    return openBreakGlass(options, envelope, never);
  };

  const answer: RootHelper['answer'] = async (request) => {
    switch (request.verb) {
      case 'trust-update':
        return once(request, () =>
          trustUpdate({ file: place.trust, trust, verifier, host, now: Date.now() }, request.envelope, never),
        );
      case 'break-glass-open':
        return once(request, () => open(request.envelope));
      case 'break-glass-close':
        return once(request, () => closeBreakGlass(glass));
      case 'break-glass-show': {
        const shown = await showBreakGlass(glass);
        if (shown.is === 'unclear') return { v: 1, is: 'busy', text: shown.text };
        return { v: 1, is: 'done', openUntil: shown.is === 'open' ? shown.until : null };
      }
      case 'show': {
        const receipt = receipts.get(request.operation);
        return receipt === undefined ? helper.answer(request) : { v: 1, is: 'done', receipt };
      }
      case 'volumes-of':
      case 'reap-stub':
      case 'unlock':
      case 'pool-ensure':
        return helper.answer(request);
    }
  };
  return { answer, close: () => systemd.close() };
}

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
