/**
 * All programs of a guest in their order: identity before anything else, then apps and witness, then the session with the
 * host, and with it supervisor and controller. A guest whose directive is `test` is looked at by its host: it gets an
 * identity of its own, its apps run, and it connects to nobody.
 */
import { openSession, settleIdentity } from './bootstrap.ts';
import type { BootstrapNeeds, Session } from './bootstrap.ts';
import { createLocalClient } from './client/client.ts';
import type { LocalClient } from './client/client.ts';
import type { Apps, Images, RunningImage, WitnessFolder } from './ports.ts';
import { endStandstill } from './standstill.ts';
import { createSupervisor } from './supervisor/supervisor.ts';
import { together } from './together.ts';
import { keepWitness } from './witness.ts';

/** What runs controllers for one session. */
export interface GuestImages extends Images {
  readonly builtIn?: (signal: AbortSignal) => Promise<RunningImage>;
}

export interface GuestNeeds extends Omit<BootstrapNeeds, 'startedAt'> {
  /** Apps may start as soon as this resolves. `readOnly`: the guest is only looked at. */
  openApps(readOnly: boolean): Promise<Apps & { close?(): Promise<void> }>;
  makeImages(with_: { readonly client: LocalClient; readonly session: Session; readonly apps: Apps }): GuestImages;
  readonly witness?: { readonly folder: WitnessFolder; readonly everyMs?: number };
}

const retryMs = 1_000;

/** Works until aborted. */
export async function runGuest(needs: GuestNeeds, signal: AbortSignal): Promise<void> {
  const startedAt = needs.clock.now();
  const directive = await settleIdentity(needs);
  const apps = await needs.openApps(directive === 'test');
  try {
    const { witness } = needs;
    await together(
      [
        async (both) => {
          await letGoOn(needs, apps, both);
          if (directive !== 'test') await keepSessions(needs, startedAt, apps, both);
        },
        async (both) => {
          if (witness !== undefined)
            await keepWitness({ ...witness, clock: needs.clock, checks: checksOf(apps) }, both);
        },
      ],
      signal,
    );
  } finally {
    await apps.close?.();
  }
}

/**
 * An archive is taken while apps stand still, so a guest that comes out of one finds them so; nobody else would let them
 * go on where the host has not authorised the guest yet.
 */
async function letGoOn(needs: GuestNeeds, apps: Apps, signal: AbortSignal): Promise<void> {
  while ((await endStandstill({ ...needs, apps })).is === 'failed') await needs.clock.sleep(retryMs, signal);
}

/** One session after the other: a token that is no longer taken ends one. */
async function keepSessions(needs: GuestNeeds, startedAt: number, apps: Apps, signal: AbortSignal): Promise<void> {
  let rejected: string | undefined;
  while (!signal.aborted) {
    const session = await openSession({ ...needs, startedAt }, rejected, signal);
    const ending = new AbortController();
    const client = createLocalClient({
      transport: needs.connect(session.address, { is: 'ca', pems: session.ca }),
      clock: needs.clock,
      token: session.token,
      onUnauthorised: () => ending.abort(),
    });
    const images = needs.makeImages({ client, session, apps });
    const supervisor = createSupervisor({
      ...needs,
      client,
      apps,
      images,
      ...(images.builtIn === undefined ? {} : { builtIn: images.builtIn }),
    });
    await supervisor.run(AbortSignal.any([signal, ending.signal])).catch((error: unknown) => {
      if (!ending.signal.aborted && !signal.aborted) throw error;
    });
    if (!signal.aborted) needs.say('the host does not take the token any more');
    rejected = session.token;
  }
}

const checksOf = (apps: Apps) => [
  {
    name: 'apps',
    probe: async () => {
      for (const stack of await apps.running()) if ((await apps.health(stack)) === 'unhealthy') return false;
      return true;
    },
  },
];
