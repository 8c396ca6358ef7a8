/** The one place where a job gets a signature: shown first, asked for, signed, delivered. */
import { signatureNamespaces, writeEnvelope } from '@felhom/protocol';
import type { Job } from '@felhom/protocol';
import type { CommandContext } from '../command-context.ts';
import { confirmWithYes } from '../confirm.ts';
import type { HubClient } from '../hub-client.ts';
import { refuseStrangeKey } from '../signing/may-sign.ts';
import { findSigningKey } from '../signing/signing-key.ts';
import { signPayload } from '../signing/ssh-keygen.ts';
import type { VerifiedHost } from '../verified-host.ts';
import { meaningOf } from './catalog.ts';
import { concludeDelivery, deliver } from './deliver.ts';
import type { Delivery, DeliveryOptions } from './deliver.ts';
import { payloadOfJob, peopleFor, renderJob } from './summary.ts';

export interface SignOptions extends DeliveryOptions {
  readonly key?: string | undefined;
  readonly yes?: boolean | undefined;
  readonly from?: string | undefined;
}

/** Shows what the job means, asks, and signs with a key that counts on that host. Answers the envelope. */
export async function signJob(
  context: CommandContext,
  host: VerifiedHost,
  job: Job,
  options: SignOptions,
): Promise<string> {
  const key = await findSigningKey(context.io, context.machine, options.key);
  const person = refuseStrangeKey(host.trust, key, signatureNamespaces.job, host.hostId, host.statement.at);
  const out = options.json === true ? context.io.stderr : context.io.stdout;
  out.write(renderJob(job, host, context.style));
  await confirmWithYes(context, options, `Sign this as ${person.principal} (${key.fingerprint})?`);
  const payload = payloadOfJob(job);
  return writeEnvelope(payload, [await signPayload(context.machine, key, signatureNamespaces.job, payload)]);
}

export async function signAndDeliver(
  context: CommandContext,
  host: VerifiedHost,
  job: Job,
  options: SignOptions,
  hub?: HubClient,
): Promise<Delivery> {
  const text = await signJob(context, host, job, options);
  const delivery = await deliver(context, job, text, options, hub);
  const people = peopleFor(meaningOf(job, host), host.trust);
  const said = concludeDelivery(context, job.host, delivery);
  context.print(options, { ...delivery, people }, () => said);
  return delivery;
}
