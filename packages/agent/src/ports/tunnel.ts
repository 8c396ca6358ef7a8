/**
 * The tunnel as the host sees it: cloudflared's own endpoint for readiness, metrics and the configuration that is in
 * force there. The edge can push another one at any time [R9], so what was declared is no proof of what runs.
 */
import type { TunnelDeclaration } from '@felhom/protocol';
import type { Outcome } from '../kernel/saga.ts';

export interface TunnelEndpoint {
  /** `/ready`: connections to the edge; 0 is an answer too. */
  connections(signal: AbortSignal): Promise<Outcome<number>>;
  /** `/config`: what it lets in, in order. */
  ingress(signal: AbortSignal): Promise<Outcome<RunningIngress>>;
}

export interface RunningIngress {
  readonly rules: readonly IngressRule[];
  /** WARP routing opens whole networks to the account. */
  readonly privateNetworks: boolean;
}

/** One rule of an ingress: who asks for this name gets to this service. */
export interface IngressRule {
  /** Empty: every name. */
  readonly hostname: string;
  readonly path: string;
  /** `http://10.98.0.5:80`, `http_status:404` … */
  readonly service: string;
}

/** What root declared, from the file that cloudflared is started with; `undefined`: the host has no tunnel. */
export type DeclaredIngress = () => Promise<Outcome<readonly IngressRule[] | undefined>>;

/** What operators signed last; `undefined`: nothing, or it does not read. */
export type SignedRules = () => Promise<TunnelDeclaration | undefined>;

/**
 * A second way to tell whether the internet is there: a name that no cache can know is asked for, and any answer at all,
 * also that there is none of this name, came from outside. False: no answer in time.
 */
export type InternetProbe = (signal: AbortSignal) => Promise<boolean>;
