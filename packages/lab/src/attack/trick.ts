/** What a trick is: something that a hub does to get what nobody signed, played against a real agent. */
import type { Agent, GuestRecord, SignatureVerifier } from '@felhom/agent';
import type { Digest, PollAnswer } from '@felhom/protocol';
import type { Operator } from '../world/operators.ts';
import type { JobOverrides, SignedJob } from '../world/sign-job.ts';
import type { SimWorld, SimWorldOptions } from '../world/sim-world.ts';

export interface Trick {
  readonly name: string;
  /** What the hub would have if it worked. */
  readonly gain: string;
  /** Signatures are what it is about: the real `ssh-keygen` verifies them, not its stand-in. */
  readonly real?: boolean;
  /** Changes to the host before the trick begins. */
  readonly host?: (people: Cast) => Partial<Omit<SimWorldOptions, 'seed' | 'verifier'>>;
  play(target: Target): Promise<void>;
  /** Answers what the hub got, beyond what every trick is judged by; nothing when it got nothing. */
  readonly judge?: (target: Target) => string | undefined;
  /** What must be found of it afterwards, as parts of the texts. */
  readonly leaves: Traces;
}

export type Traces =
  | {
      /** In an entry of the audit log: its kind, or words of its text. */
      readonly audit: RegExp;
      /** In a finding, a job, or a blocked action of the report: key, code, state or words. */
      readonly shown: RegExp;
    }
  /** Nothing happened that anybody would have to know, and why not. */
  | { readonly nothing: string };

/** Everybody who can hold a pen: three whom the host trusts, and one whom it does not. */
export interface Cast {
  readonly alice: Operator;
  readonly bob: Operator;
  readonly carol: Operator;
  readonly mallory: Operator;
  /** Further keys by name, the same in every run. */
  key(principal: string, which: string): Operator;
}

/** A host that has converged on two guests, beside a guest of somebody else, and the hub in the hands of an adversary. */
export interface Target {
  readonly world: SimWorld;
  readonly cast: Cast;
  /** As the host asks it. */
  readonly verifier: SignatureVerifier;
  /** The life that the agent is in. */
  readonly agent: () => Agent;
  /** `web` or `photos`, as on record when the trick began. */
  readonly guest: (name: string) => GuestRecord;
  /** VMID of the guest of somebody else, inside the range of the agent. */
  readonly theirs: number;
  /** What nearly every trick dresses up: the removal of `photos` with all its volumes. */
  readonly removal: (people: readonly Pick<Operator, 'sign'>[], overrides?: JobOverrides) => SignedJob;
  /** Puts envelopes into the mailbox and waits until the host has polled them twice. */
  readonly deliver: (...envelopes: readonly string[]) => Promise<void>;
  /** Answers with this in the place of the honest answer from now on. */
  readonly answerWith: (twist: ((answer: PollAnswer) => PollAnswer) | undefined) => void;
  /** So much time passes for everybody. */
  readonly pass: (ms: number) => Promise<void>;
  /** So much time passes in which the host does nothing, as if its machine slept. */
  readonly sleep: (ms: number) => Promise<void>;
  /** The agent is killed and starts again. */
  readonly restart: () => Promise<void>;
  /** Desired state asks for these guests from now on. */
  readonly want: (...guests: readonly unknown[]) => void;
  /** Waits until something of this verb is blocked; answers its digest. */
  readonly blocked: (verb: string) => Promise<Digest>;
  /** Root at the console of the node: a call to the API as root@pam, and the end of its task. */
  readonly byHand: (method: 'POST' | 'PUT' | 'DELETE', path: string, params: Record<string, unknown>) => Promise<void>;
  /** What is now is meant: by root, by a customer, or by people who signed. The judge begins from here. */
  readonly asMeant: () => void;
  /** Waits for something that has to happen for the trick to make sense; throws where it does not. */
  readonly reach: (what: string, condition: () => boolean, ms?: number) => Promise<void>;
}

export const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;
