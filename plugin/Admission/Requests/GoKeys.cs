// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>How encoding/json compares an object's key with a field's name where they are not equal: by simple Unicode
/// folding. For the names of the API, all ASCII, that is ASCII's case and two letters more.</summary>
static class GoKeys
{
    const char KelvinSign = '\u212a';
    const char LongS = '\u017f';

    /// <summary>Whether Go takes <paramref name="key"/> for the field <paramref name="name"/>, which is
    /// ASCII.</summary>
    public static bool AreSame(string name, string key)
    {
        if (name.Length != key.Length)
            return false;
        for (var i = 0; i < name.Length; i++)
            if (Fold(name[i]) != Fold(key[i]))
                return false;
        return true;
    }

    static char Fold(char c) =>
        c switch
        {
            KelvinSign => 'k',
            LongS => 's',
            >= 'A' and <= 'Z' => (char)(c | 0x20),
            _ => c,
        };
}
