// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Policies;

/// <summary>Reads the value of a key on which <paramref name="json"/> stands into a user's limits.</summary>
delegate QuotaLimits PolicyLimitReader(QuotaLimits limits, ref PolicyJson json);
