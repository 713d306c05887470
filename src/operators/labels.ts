// SPDX-License-Identifier: Apache-2.0
import { GROUP, LABELS } from '../api/group.ts';

/** Kubernetes' own labels that the translators follow. */
export const KUBERNETES_LABELS = {
  /** On an EndpointSlice: name of its Service. */
  serviceName: 'kubernetes.io/service-name',
  /** On a Service or slice: another proxy takes care of it. */
  serviceProxyName: 'service.kubernetes.io/service-proxy-name',
  /** On a Service or slice: the Service is headless, so nothing is balanced. */
  headless: 'service.kubernetes.io/headless',
  managedBy: 'app.kubernetes.io/managed-by',
} as const;

/** Labels of the tables that the operator makes, beside those of src/api. */
export const TABLE_LABELS = {
  serviceNamespace: `${GROUP}/service-namespace`,
  serviceName: `${GROUP}/service-name`,
  node: LABELS.node,
  policyNamespace: `${GROUP}/policy-namespace`,
  /** Long names are hashed. */
  policyName: `${GROUP}/policy-name`,
  podNamespace: `${GROUP}/pod-namespace`,
  /** Hash of what the identity is. */
  identity: `${GROUP}/identity`,
  announcedNamespace: `${GROUP}/announced-namespace`,
  announcedName: `${GROUP}/announced-name`,
  /** Name of the node that answers for an address; long names are hashed. */
  announcedBy: `${GROUP}/announced-by`,
  ownerUid: LABELS.ownerUid,
} as const;

/** Value of `app.kubernetes.io/managed-by` on everything that the operator makes; it sweeps nothing without it. */
export const MANAGER = 'cubeplane-operator';
