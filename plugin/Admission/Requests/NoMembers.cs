// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>An object whose members are not read.</summary>
sealed record NoMembers;
